"""A writer of DER (ITU-T X.690), for the few types that certificates and key files need. Reading is left to libraries.

Every function returns the whole encoding of one value; constructed types take the encodings of their parts.
"""

from datetime import UTC, datetime
from typing import Final

from imprint.errors import FormatError

_PRINTABLE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE (X.690 section 8.9)."""
    return _tlv(0x30, b"".join(parts))


def set_of(*parts: bytes) -> bytes:
    """SET OF, its elements in ascending order (X.690 section 11.6)."""
    return _tlv(0x31, b"".join(sorted(parts)))


def explicit(number: int, content: bytes) -> bytes:
    """``content`` under a constructed context tag 0..30: EXPLICIT tagging, or IMPLICIT tagging of a constructed type
    whose own tag and length are left out of ``content``."""
    return _tlv(0xA0 | number, content)


def implicit(number: int, content: bytes) -> bytes:
    """A primitive type's content under a context tag 0..30 (IMPLICIT tagging)."""
    return _tlv(0x80 | number, content)


def boolean(value: bool) -> bytes:
    """BOOLEAN (X.690 section 11.1)."""
    return b"\x01\x01\xff" if value else b"\x01\x01\x00"


def integer(value: int) -> bytes:
    """INTEGER, in as few bytes as two's complement allows (X.690 section 8.3)."""
    magnitude = value if value >= 0 else ~value
    return _tlv(0x02, value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True))


def enumerated(value: int) -> bytes:
    """ENUMERATED, encoded as the INTEGER of its value (X.690 section 8.4); 0 to 127."""
    return _tlv(0x0A, bytes((value,)))


def octet_string(value: bytes) -> bytes:
    """OCTET STRING."""
    return _tlv(0x04, value)


def bit_string(value: bytes, *, unused: int = 0) -> bytes:
    """BIT STRING of whole bytes, less ``unused`` (0..7) zero bits at the end (X.690 section 8.6)."""
    return _tlv(0x03, bytes((unused,)) + value)


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER (X.690 section 8.19). Raises :class:`FormatError` for text that is not a dotted OID."""
    arcs = dotted.split(".")
    if not all(arc.isascii() and arc.isdigit() and (arc == "0" or arc[0] != "0") for arc in arcs):
        raise FormatError("not an object identifier", subject=repr(dotted), next_step="Write it like 1.3.6.1.4.1.99.1")
    # CPython refuses to convert very long digit strings; no registered arc is wider than 128 bits (ITU-T X.667).
    if (
        len(arcs) < 2
        or any(len(arc) > 39 for arc in arcs)
        or int(arcs[0]) > 2
        or (arcs[0] != "2" and int(arcs[1]) > 39)
    ):
        raise FormatError("an object identifier with arcs out of range", subject=repr(dotted))
    first, second, *others = (int(arc) for arc in arcs)
    return _tlv(0x06, b"".join(_base128(arc) for arc in (40 * first + second, *others)))


def _base128(value: int) -> bytes:
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))


def utf8_string(text: str) -> bytes:
    """UTF8String."""
    return _tlv(0x0C, text.encode())


def printable_string(text: str) -> bytes:
    """PrintableString (X.680 section 41.4). Raises :class:`FormatError` for a character outside its set."""
    if not _PRINTABLE.issuperset(text):
        raise FormatError("a character is not in PrintableString", subject=repr(text))
    return _tlv(0x13, text.encode())


def ia5_string(text: str) -> bytes:
    """IA5String. Raises :class:`FormatError` for a character outside ASCII."""
    if not text.isascii():
        raise FormatError("a character is not ASCII", subject=repr(text))
    return _tlv(0x16, text.encode())


def time(moment: datetime) -> bytes:
    """Time as certificates want it (RFC 5280 section 4.1.2.5), in whole seconds, rounded down.

    UTCTime from 1950 through 2049, GeneralizedTime otherwise. Raises :class:`FormatError` for a time without a zone.
    """
    if moment.tzinfo is None:
        raise FormatError("a time without a time zone", subject=str(moment))
    utc = moment.astimezone(UTC)
    text = f"{utc.year:04}{utc.month:02}{utc.day:02}{utc.hour:02}{utc.minute:02}{utc.second:02}Z".encode()
    return _tlv(0x17, text[2:]) if 1950 <= utc.year < 2050 else _tlv(0x18, text)
