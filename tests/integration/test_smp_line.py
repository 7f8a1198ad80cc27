"""The line to a unit: framing and repetition, against frames that the package ``smp`` makes."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from smp import packet
from smp.error import MGMT_ERR
from smp.os_management import EchoWriteResponse, MCUMgrParametersReadResponse
from smp_server import FarEnd, far_end, framed, sequence
from smpclient.requests.os_management import EchoWrite

from imprint.errors import ConflictError, UnitRefused, UnitSilent
from imprint.station.targets.serial_link import FRAME_OVERHEAD, LEAST_BUFFER, FrameReader, SerialLink
from imprint.station.targets.serial_port import SerialPort
from imprint.station.targets.smp_exchange import SmpExchange, printable

T = TypeVar("T")
QUICK = (0.1, 0.1, 0.1)


def echo(request: bytes, text: str = "hi") -> bytes:
    return framed(EchoWriteResponse(r=text, sequence=sequence(request)))


def head(request: bytes, body: bytes) -> bytes:
    """An answer to a write with any body."""
    return bytes([3 | 1 << 3, 0]) + len(body).to_bytes(2, "big") + request[4:8] + body


def talk(handle: Callable[[bytes], list[bytes]], use: Callable[[SmpExchange, FarEnd], Coroutine[Any, Any, T]]) -> T:
    """Open a line to a far end, use it, close it."""

    async def main() -> T:
        with far_end(handle) as end:
            line = SmpExchange(SerialLink(SerialPort(end.path, baud=115200)), name=end.path)
            await line.open(1)
            try:
                return await use(line, end)
            finally:
                await line.close()

    return asyncio.run(main())


async def say(line: SmpExchange, _end: FarEnd) -> str:
    return (await line.ask(EchoWrite(d="hi"), patience_s=QUICK)).r


def test_a_question_is_answered() -> None:
    assert talk(lambda request: [echo(request)], say) == "hi"


def test_a_long_message_goes_through_both_ways() -> None:
    text = "x" * 20000

    async def use(line: SmpExchange, end: FarEnd) -> str:
        return (await line.ask(EchoWrite(d=text), patience_s=(5.0,))).r

    assert talk(lambda request: [echo(request, text[:2000])], use) == text[:2000]


def test_a_console_on_the_same_line_is_passed_over() -> None:
    def handle(request: bytes) -> list[bytes]:
        first, *others = packet.encode(EchoWriteResponse(r="h" * 300, sequence=sequence(request)).BYTES, 128)
        return [b"boot ok\r\n[warn] x", first, *(b"[info] y\n" + line for line in others), b"\x06\t!!\n"]

    assert talk(handle, say) == "h" * 300


def test_late_answers_and_echoes_of_the_request_are_not_answers() -> None:
    def handle(request: bytes) -> list[bytes]:
        other = EchoWriteResponse(r="late", sequence=(sequence(request) + 1) % 256)
        return [b"".join(packet.encode(request, 128)), framed(other), echo(request)]

    assert talk(handle, say) == "hi"


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\n\n",
        b"\x06\t\n",
        b"\x06\tAAAA\n",
        b"\x04\x14AAAA\n",
        b"\x06\t" + b"\xff" * 40 + b"\n",
        b"\x06\tAAo" + b"A" * 10 + b"\n",
    ],
)
def test_damaged_frames_are_asked_for_again(bad: bytes) -> None:
    tries = []

    def handle(request: bytes) -> list[bytes]:
        tries.append(request)
        return [bad] if len(tries) == 1 else [echo(request)]

    assert talk(handle, say) == "hi"
    assert len(tries) == 2
    assert tries[0] == tries[1], "the same question, word for word"


def test_a_frame_with_one_flipped_bit_is_asked_for_again() -> None:
    tries = []

    def handle(request: bytes) -> list[bytes]:
        tries.append(request)
        data = bytearray(echo(request))
        if len(tries) == 1:
            data[20] ^= 1
        return [bytes(data)]

    assert talk(handle, say) == "hi"
    assert len(tries) == 2


@pytest.mark.parametrize("body", [b"", b"\xff", b"\xa1", b"\x82\x01\x02", b"\xa1\x01\x02", b"\xa1ar\x01", b"\xbf"])
def test_answers_that_make_no_sense_are_typed_errors(body: bytes) -> None:
    def handle(request: bytes) -> list[bytes]:
        return [b"".join(packet.encode(head(request, body), 128))]

    with pytest.raises(UnitSilent, match="makes no sense"):
        talk(handle, say)


def test_silence_is_a_typed_error_after_bounded_tries() -> None:
    tries = []

    def handle(request: bytes) -> list[bytes]:
        tries.append(request)
        return []

    with pytest.raises(UnitSilent, match="no answer to EchoWrite"):
        talk(handle, say)
    assert len(tries) == len(QUICK)


def test_a_unit_that_says_no() -> None:
    def handle(request: bytes) -> list[bytes]:
        body = cbor2.dumps({"rc": int(MGMT_ERR.EBUSY), "rsn": "bell\x07 and \x1b[2J"})
        return [b"".join(packet.encode(head(request, body), 128))]

    with pytest.raises(UnitRefused) as caught:
        talk(handle, say)
    assert caught.value.what == "the unit refused EchoWrite: EBUSY (bell? and ?[2J)"


@pytest.mark.parametrize(
    ("told", "size"), [(2048, 2048), (1, LEAST_BUFFER), (0, LEAST_BUFFER), (-5, LEAST_BUFFER), (1 << 30, 1 << 15)]
)
def test_the_frame_size_is_the_units_within_reason(told: int, size: int) -> None:
    async def use(line: SmpExchange, _end: FarEnd) -> int:
        await line.learn_buffer_size()
        return line.link.max_unencoded_size

    def handle(request: bytes) -> list[bytes]:
        return [framed(MCUMgrParametersReadResponse(buf_size=told, buf_count=1, sequence=sequence(request)))]

    assert talk(handle, use) == size - FRAME_OVERHEAD


def test_a_lost_port_is_a_typed_error() -> None:
    async def use(line: SmpExchange, end: FarEnd) -> None:
        asyncio.get_running_loop().remove_reader(end.near)
        os.close(end.near)
        os.close(end.far)
        try:
            with pytest.raises(UnitSilent, match="port was lost"):
                await line.ask(EchoWrite(d="hi"), patience_s=(5.0,))
        finally:
            end.near, end.far = os.openpty()

    talk(lambda request: [], use)


def test_a_port_that_is_not_there() -> None:
    async def main() -> None:
        with pytest.raises(UnitSilent, match="does not open: No such file"):
            SerialPort("/dev/none-of-ours", baud=115200).open()

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/dev/null", "/etc/hostname"])
def test_what_is_not_a_serial_port(path: str) -> None:
    async def main() -> None:
        with pytest.raises(UnitSilent, match="does not open"):
            SerialPort(path, baud=115200).open()

    asyncio.run(main())


def test_two_programs_cannot_hold_one_port() -> None:
    async def main() -> None:
        with far_end(lambda request: []) as end:
            first, second = SerialPort(end.path, baud=115200), SerialPort(end.path, baud=115200)
            first.open()
            with pytest.raises(ConflictError):
                second.open()
            first.close()
            second.open()
            second.close()

    asyncio.run(main())


async def send(end: FarEnd, data: bytes) -> None:
    """Write all, as the pty, which delivers in its own time, has room for it."""
    while data:
        try:
            data = data[os.write(end.near, data) :]
        except BlockingIOError:
            await asyncio.sleep(0.001)


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    async def main() -> None:
        with far_end(lambda request: []) as end:
            port = SerialPort(end.path, baud=115200)
            port.open()
            for piece in (*[b"x" * 1000] * 300, b"\nhello\n"):
                await send(end, piece)
                assert len(port._partial) <= 1 << 16
            await port.read_line()
            assert await port.read_line() == b"hello"
            port.close()

    asyncio.run(main())


@given(st.lists(st.binary(max_size=60) | st.binary(max_size=40).map(lambda data: b"\x06\t" + data), max_size=8))
def test_the_frame_reader_takes_any_lines_and_still_reads_a_frame(lines: list[bytes]) -> None:
    reader = FrameReader()
    for line in lines:
        reader.feed(line)
    message = EchoWriteResponse(r="x" * 200, sequence=1).BYTES
    found = [reader.feed(line.removesuffix(b"\n")) for line in packet.encode(message, 128)]
    assert found[-1] == message


def test_what_a_unit_says_is_made_fit_for_a_message() -> None:
    assert printable("a\nb\x1b\u202e") == "a?b??"
    assert len(printable("x" * 5000)) == 100
