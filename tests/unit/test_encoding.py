"""Canonical bytes, judged by the package ``rfc8785``; base64 and hexadecimal, judged by coreutils' rules."""

import base64
import json
import math
from contextlib import suppress
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from imprint.encoding import (
    MAX_SAFE_INTEGER,
    b64,
    canonical,
    from_b64,
    from_hex,
    parse_json_object,
    sha256,
    sha256_hex,
)
from imprint.errors import FormatError

ASCII = st.text(st.characters(max_codepoint=127))
SCALARS = st.none() | st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(ASCII, inner), max_leaves=10)
OBJECTS = st.dictionaries(ASCII, VALUES, max_size=3)


@given(VALUES)
def test_canonical_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(OBJECTS)
def test_what_is_canonical_is_read_back(value: dict[str, Any]) -> None:
    assert parse_json_object(canonical(value), subject="x") == value
    assert json.loads(canonical(value)) == value


def test_tuples_are_arrays_and_order_of_keys_is_lost() -> None:
    assert canonical({"b": (1, 2), "a": None}) == b'{"a":null,"b":[1,2]}' == canonical({"a": None, "b": [1, 2]})


@pytest.mark.parametrize(
    "value",
    [
        1.0, math.nan, math.inf, MAX_SAFE_INTEGER + 1, -MAX_SAFE_INTEGER - 1, {1: 2}, {"é": 1}, {None: 1}, b"bytes",
        bytearray(b"bytes"), {1, 2}, object(), 1j, [[[{"a": [1.5]}]]],
    ],
)  # fmt: skip
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(FormatError):
        canonical(value)


@pytest.mark.parametrize("value", ["\ud800", {"a": ["\udfff"]}])
def test_a_lone_surrogate_is_refused(value: object) -> None:
    with pytest.raises(FormatError):
        canonical(value)


def test_bottomless_nesting_is_refused() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(FormatError):
        canonical(nested)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"1", b'"a"', b"{", b'{"a":1}{', b'{"a":1,"a":1}', b'{"b":{"a":1,"a":2}}', b'{"a":NaN}',
        b'{"a":-Infinity}', b'{"a":\xff}', b"{'a':1}", b'{"a":1,}', b"[" * 100_000, b'{"a":' * 100_000,
        b'{"a":' + b"9" * 5000 + b"}", b'{"a":"\n"}', b'\xef\xbb\xbf{"a"',
    ],
)  # fmt: skip
def test_what_is_not_one_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        parse_json_object(data, subject="lot.json")
    assert caught.value.subject == "lot.json"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_than_utf_8_are_refused(encoding: str) -> None:
    with pytest.raises(FormatError):
        parse_json_object('{"a":1}'.encode(encoding), subject="x")


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_an_object_or_a_format_error(data: bytes) -> None:
    with suppress(FormatError):
        assert isinstance(parse_json_object(data, subject="x"), dict)


@given(st.binary())
def test_base64_and_hexadecimal_there_and_back(data: bytes) -> None:
    assert b64(data) == base64.standard_b64encode(data).decode()
    assert from_b64(b64(data), subject="x") == data
    assert from_hex(data.hex(), subject="x") == data


@given(st.text() | st.text("ABab01+/=-_ \n"))
def test_each_value_has_one_text(text: str) -> None:
    for read, write in ((from_b64, b64), (from_hex, bytes.hex)):
        with suppress(FormatError):
            assert write(read(text, subject="x")) == text


@pytest.mark.parametrize("text", ["A", "AA", "AA=", "AB==", "AA==\n", "A A=", "_-8=", "AAA=AAA=", "é"])
def test_not_base64(text: str) -> None:
    with pytest.raises(FormatError):
        from_b64(text, subject="x")


@pytest.mark.parametrize("text", ["a", "AB", "a b", "0x", " ab", "ab\n", "é"])
def test_not_hexadecimal(text: str) -> None:
    with pytest.raises(FormatError):
        from_hex(text, subject="x")


def test_sha256_of_the_standard_s_example() -> None:
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert sha256_hex(b"abc") == digest == sha256(b"abc").hex()
