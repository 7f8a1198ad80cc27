"""A unit's statement: a small map in deterministic CBOR, or one typed error, and never a long wait."""

from contextlib import suppress
from dataclasses import replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import FormatError
from imprint.formats.provisioning_group import MAX_STATEMENT, UnitStatement

STATEMENT = UnitStatement(
    v=1,
    nonce=bytes(32),
    hw=bytes(8),
    cert=bytes(32),
    image=bytes(32),
    version="1.0.0+0",
    security=1,
    boot_key=bytes(32),
    debug=2,
    session=3,
    monotonic=4,
)


def test_a_statement_comes_back() -> None:
    assert UnitStatement.decode(STATEMENT.encode()) == STATEMENT


def test_a_statement_that_costs_long_to_decode_is_refused_by_its_size() -> None:
    numerator, denominator = (cbor2.CBORTag(2, bytes([255 - n]) * 400_000) for n in (0, 1))
    data = cbor2.dumps(cbor2.CBORTag(30, [numerator, denominator]))
    with pytest.raises(FormatError, match="are more than"):  # seconds of arithmetic, without the limit
        UnitStatement.decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xa0",
        cbor2.dumps([1, 2]),
        STATEMENT.encode() + b"\x00",
        STATEMENT.encode()[:-1],
        replace(STATEMENT, v=2).encode(),
        replace(STATEMENT, version="v" * MAX_STATEMENT).encode(),
        cbor2.dumps({**cbor2.loads(STATEMENT.encode()), "debug": -1}, canonical=True),
        cbor2.dumps({**cbor2.loads(STATEMENT.encode()), "debug": True}, canonical=True),
        cbor2.dumps({**cbor2.loads(STATEMENT.encode()), "session": 2**53}, canonical=True),
        cbor2.dumps({**cbor2.loads(STATEMENT.encode()), "more": 1}, canonical=True),
        cbor2.dumps(dict(reversed(cbor2.loads(STATEMENT.encode()).items()))),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        UnitStatement.decode(data)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: STATEMENT.encode()[:40] + tail))
def test_any_bytes_are_a_statement_or_a_format_error(data: bytes) -> None:
    with suppress(FormatError):
        UnitStatement.decode(data)
