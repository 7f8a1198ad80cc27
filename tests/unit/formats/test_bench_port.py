"""The bench port's lines: every value survives, every other line is a typed error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import FormatError
from imprint.formats.bench_port import (
    Attached,
    Failed,
    Locked,
    PowerCycled,
    Reply,
    Request,
    encode_reply,
    encode_request,
    parse_reply,
    parse_request,
)
from imprint.formats.provisioning_group import DebugLevel

LINES: list[tuple[bytes, Reply]] = [
    (b"ok power-cycled\n", PowerCycled()),
    (b"ok open 2ba01477\n", Attached(level=DebugLevel.OPEN, idcode=0x2BA01477)),
    (b"ok restricted 0ba01477\n", Attached(level=DebugLevel.RESTRICTED, idcode=0x0BA01477)),
    (b"ok locked\n", Locked()),
    (b"err relay stuck\n", Failed(why="relay stuck")),
]


@pytest.mark.parametrize(("line", "reply"), LINES)
def test_replies_as_documented(line: bytes, reply: Reply) -> None:
    assert encode_reply(reply) == line
    assert parse_reply(line) == reply
    assert parse_reply(line.replace(b"\n", b"\r\n")) == reply


@pytest.mark.parametrize(("line", "request_"), [(b"power cycle\n", "power cycle"), (b"debug attach\n", "debug attach")])
def test_requests_as_documented(line: bytes, request_: str) -> None:
    assert encode_request(Request(request_)) == line
    assert parse_request(line) == Request(request_)


@pytest.mark.parametrize(
    "line",
    [b"", b"ok", b"ok open", b"ok open 2BA01477", b"ok open 12345", b"ok locked 00000000", b"ok locked ", b"Ok locked"],
)
def test_other_replies_are_refused(line: bytes) -> None:
    with pytest.raises(FormatError):
        parse_reply(line)


@given(st.binary(max_size=100))
def test_hostile_lines_give_a_value_or_a_typed_error(line: bytes) -> None:
    for parse in (parse_request, parse_reply):
        try:
            parse(line)
        except FormatError:
            continue
