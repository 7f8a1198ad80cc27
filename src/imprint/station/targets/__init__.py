"""Drivers for what is on the bench. ``target`` says what a driver can do; the rest are drivers."""
