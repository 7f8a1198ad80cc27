"""Serial framing against the ``smp`` package's encoder, and against what a bad line does to it."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smp import packet

from imprint.virtual.framing import LARGEST_MESSAGE, LONGEST_LINE, FrameReader, Message

messages = st.binary(min_size=8, max_size=700)


def encoded(message: bytes, line_length: int = 128) -> bytes:
    return b"".join(packet.encode(message, line_length))


def fed(reader: FrameReader, data: bytes, piece: int) -> list[Message]:
    return [found for start in range(0, len(data), piece) for found in reader.feed(data[start : start + piece])]


@given(st.lists(messages, max_size=4), st.integers(8, 512), st.integers(1, 300))
def test_whatever_is_sent_arrives_however_it_is_cut(sent: list[bytes], line_length: int, piece: int) -> None:
    data = b"".join(encoded(message, line_length) for message in sent)
    assert fed(FrameReader(), data, piece) == [Message(data=message) for message in sent]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_console_output_in_between_is_passed_over(line_end: bytes) -> None:
    message = os.urandom(300)
    data = b"*** Booting ***\r\n\n" + encoded(message).replace(b"\n", line_end) + b"uart:~$ "
    assert FrameReader().feed(data) == [Message(data=message)]


def test_the_largest_message_arrives_and_a_larger_one_is_told() -> None:
    reader = FrameReader()
    largest = os.urandom(LARGEST_MESSAGE)
    too_large = os.urandom(LARGEST_MESSAGE + 1)
    enormous = os.urandom(60000)
    data = encoded(largest) + encoded(too_large) + encoded(enormous) + encoded(largest)
    assert reader.feed(data) == [
        Message(data=largest),
        Message(data=too_large[:8], is_whole=False),
        Message(data=enormous[:8], is_whole=False),
        Message(data=largest),
    ]


@given(messages, messages, st.data())
def test_a_lost_byte_costs_at_most_its_own_message_and_the_next(
    first: bytes, second: bytes, data: st.DataObject
) -> None:
    line = encoded(first)
    position = data.draw(st.integers(0, len(line) - 1))
    reader = FrameReader()
    found = reader.feed(line[:position] + line[position + 1 :])
    found += reader.feed(encoded(second))
    assert found == [Message(data=second)]


@given(messages, st.data())
def test_a_damaged_message_never_arrives_as_another(message: bytes, data: st.DataObject) -> None:
    line = bytearray(encoded(message))
    position = data.draw(st.integers(2, len(line) - 2))
    line[position] ^= data.draw(st.integers(1, 255))
    for found in FrameReader().feed(bytes(line)):
        assert found.data == message or not found.is_whole


@given(
    st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([b"\x06\x09", b"\x04\x14", b"\n", b"AAAA", b"AGQ="])))
)
def test_hostile_bytes_are_survived(pieces: list[bytes]) -> None:
    reader = FrameReader()
    for piece in pieces:
        for found in reader.feed(piece):
            assert len(found.data) >= 8
    reader.feed(b"\n")
    assert reader.feed(encoded(b"still alive")) == [Message(data=b"still alive")]


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    reader = FrameReader()
    for _ in range(100):
        assert reader.feed(b"x" * 1000) == []
    assert len(reader._line) <= LONGEST_LINE + 1000
