"""SMP frames over a serial line: a transport for ``smpclient`` that waits for events.

The framing is MCUmgr's "SMP over console" (base64 lines behind ``06 09`` and ``04 14``, a length and a CRC-16), done by
the package ``smp``. Other text on the line, such as a log, is passed over. So are damaged frames and late answers to
an earlier request: their sender asks again.
"""

import asyncio
import struct
from collections.abc import Generator
from typing import Final

from smp import packet
from smp.exceptions import SMPException
from smp.header import Header
from smpclient.transport import SMPTransport

from imprint.errors import UnitSilent
from imprint.station.targets.serial_port import SerialPort

LINE_LENGTH: Final = 128  # what MCUmgr's servers can hold (CONFIG_UART_MCUMGR_RX_BUF_SIZE)
FRAME_OVERHEAD: Final = 4  # the length and the CRC share the server's buffer with the message
LEAST_BUFFER: Final = 256  # assumed until the server says more
_MOST_BUFFER: Final = 1 << 15
_OPEN_AGAIN_S: Final = 0.1


class FrameReader:
    """Lines in, whole frames out. Holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._decoder: Generator[None, bytes, bytes] | None = None

    def feed(self, line: bytes) -> bytes | None:
        """The frame that ``line`` (without its newline) completes, if it completes one."""
        start, following = line.rfind(packet.START_DELIMITER), line.rfind(packet.CONTINUE_DELIMITER)
        if start >= 0:
            self._decoder = packet.decode()
            next(self._decoder)
        elif following < 0 or self._decoder is None:
            return None
        try:
            self._decoder.send(line[max(start, following) :] + packet.END_DELIMITER)
        except StopIteration as finished:
            self._decoder = None
            frame: bytes = finished.value
            return frame
        except (SMPException, ValueError, struct.error):
            self._decoder = None
        return None


class SerialLink(SMPTransport):
    """``smpclient``'s transport over a :class:`SerialPort`."""

    def __init__(self, port: SerialPort) -> None:
        self._port: Final = port
        self._reader = FrameReader()

    async def connect(self, address: str, timeout_s: float) -> None:
        """Open the port, trying again until ``timeout_s``: a USB port comes back a while after its unit."""
        end = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                self._port.open()
                break
            except UnitSilent:
                if asyncio.get_running_loop().time() >= end:
                    raise
            await asyncio.sleep(_OPEN_AGAIN_S)
        self._reader = FrameReader()

    async def disconnect(self) -> None:
        """Close the port."""
        self._port.close()

    async def send(self, data: bytes) -> None:
        """Send one message."""
        # The newline ends a line that an earlier, interrupted or damaged frame may have left open at the unit.
        await self._port.write(packet.END_DELIMITER + b"".join(packet.encode(data, LINE_LENGTH)))

    async def receive(self) -> bytes:
        """The next whole frame."""
        while True:
            frame = self._reader.feed(await self._port.read_line())
            if frame is not None:
                return frame

    async def send_and_receive(self, data: bytes) -> bytes:
        """Send a request and return its answer; answers to anything else are dropped."""
        self._port.discard_input()
        await self.send(data)
        while True:
            frame = await self.receive()
            if _answers(frame, data):
                return frame

    def initialize(self, smp_server_transport_buffer_size: int) -> None:
        """Take the server's buffer size, within reason."""
        self._smp_server_transport_buffer_size = min(max(smp_server_transport_buffer_size, LEAST_BUFFER), _MOST_BUFFER)

    @property
    def mtu(self) -> int:
        """The server's buffer, in bytes."""
        return self._smp_server_transport_buffer_size or LEAST_BUFFER

    @property
    def max_unencoded_size(self) -> int:
        """The longest message that fits into the server's buffer, in bytes."""
        return self.mtu - FRAME_OVERHEAD


def _answers(frame: bytes, request: bytes) -> bool:
    # Header: op and version, flags, length (2), group (2), sequence, command. An op is odd in every answer; a line that
    # echoes what it is sent shows the request itself.
    return len(frame) >= Header.SIZE and frame[4:8] == request[4:8] and bool(frame[0] & 1)
