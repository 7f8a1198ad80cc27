"""Firmware that may ship: checked, approved, sealed."""
