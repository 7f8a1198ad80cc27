"""Bytes <-> values. No I/O, no clock, no private keys; each parser gives a value or a typed error."""
