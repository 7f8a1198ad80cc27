"""Canonical bytes: the one way in which a value becomes bytes that are hashed or signed.

``canonical`` follows RFC 8785 (JCS) for the values that we use: objects with ASCII keys, arrays, strings, booleans,
null and integers below 2**53. Floats are refused: two implementations may print them differently.
"""

import base64
import binascii
import hashlib
import json
from typing import Any, Final

from imprint.errors import FormatError

MAX_SAFE_INTEGER: Final = 2**53 - 1

_PLAIN: Final = frozenset({str, bool, type(None)})

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: object) -> bytes:
    """UTF-8 JSON in RFC 8785 order, of plain dictionaries, lists, tuples, text, integers, booleans and None.

    Raises :class:`FormatError` for a float, a wide integer, a non-ASCII key, half a surrogate pair, or nesting that has
    no end.
    """
    try:
        _check(value)
        return _encode(value).encode()
    except UnicodeEncodeError as error:
        raise FormatError("half a surrogate pair has no canonical form") from error
    except RecursionError as error:
        raise FormatError("nested too deeply to have a canonical form") from error


def _check(value: object) -> None:
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or not key.isascii():
                raise FormatError("a key of a canonical object must be an ASCII string", subject=repr(key))
            if type(item) not in _PLAIN:
                _check(item)
    elif kind is list or kind is tuple:
        for item in value:  # type: ignore[attr-defined]
            if type(item) not in _PLAIN:
                _check(item)
    elif kind is int:
        if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:  # type: ignore[operator]
            raise FormatError("an integer above 2**53 - 1 has no canonical form", subject=str(value))
    elif isinstance(value, str):
        return  # an enumeration's member is its text
    else:
        raise FormatError(f"a {kind.__name__} has no canonical form")


def parse_json_object(data: bytes, *, subject: str) -> dict[str, Any]:
    """A JSON object from outside, or :class:`FormatError`. Duplicate keys and NaN are refused."""

    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise FormatError("a key occurs twice in one JSON object", subject=subject)
        return found

    def no_constant(name: str) -> None:
        raise FormatError(f"{name} is not JSON", subject=subject)

    try:
        value = json.loads(data.decode(), object_pairs_hook=no_duplicates, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise FormatError("not JSON in UTF-8", subject=subject, next_step="Check that the file is whole") from error
    if not isinstance(value, dict):
        raise FormatError("a JSON object was expected", subject=subject)
    return value


def b64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode()


def from_b64(text: str, *, subject: str) -> bytes:
    """Strict standard base64, or :class:`FormatError`."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError("not base64", subject=subject) from error
    if base64.b64encode(data).decode() != text:
        raise FormatError("base64 with stray bits", subject=subject)
    return data


def from_hex(text: str, *, subject: str) -> bytes:
    """Lower-case hexadecimal, or :class:`FormatError`."""
    try:
        data = bytes.fromhex(text)
    except ValueError as error:
        raise FormatError("not hexadecimal", subject=subject) from error
    if data.hex() != text:
        raise FormatError("hexadecimal must be lower-case, without spaces", subject=subject)
    return data


def sha256(data: bytes) -> bytes:
    """SHA-256 of ``data`` (FIPS 180-4), 32 bytes."""
    return hashlib.sha256(data).digest()


def sha256_hex(data: bytes) -> str:
    """SHA-256 of ``data`` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
