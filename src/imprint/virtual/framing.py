"""SMP's serial framing, the receiving side: lines of base64 in, whole messages out (Zephyr's ``smp_transport``).

A frame is ``length || message || CRC-16/XMODEM`` in base64, cut into lines that start with 06 09 (first) or 04 14
(next) and end in LF. What is not SMP, is damaged or lost its beginning is passed over: the sender asks again. A message
that is too large for the buffer is not kept, and told, so that its sender is not left waiting.
"""

import binascii
from dataclasses import dataclass
from typing import Final

from smp.header import Header
from smp.packet import CONTINUE_DELIMITER, CRC16_STRUCT, END_DELIMITER, FRAME_LENGTH_STRUCT, START_DELIMITER

BUFFER_SIZE: Final = 2048  # of a decoded frame: length, message and CRC
LARGEST_MESSAGE: Final = BUFFER_SIZE - FRAME_LENGTH_STRUCT.size - CRC16_STRUCT.size
LONGEST_LINE: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A whole SMP message. Of one that was too large only the header is left."""

    data: bytes
    is_whole: bool = True


class FrameReader:
    """Takes bytes as they come."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._frame = bytearray()
        self._wanted = 0  # bytes of the frame behind its length; 0 between frames
        self._received = 0

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now."""
        self._line += data
        if END_DELIMITER not in data:
            if len(self._line) > LONGEST_LINE:
                self._line.clear()
            return []
        *lines, rest = bytes(self._line).split(END_DELIMITER)
        self._line = bytearray(rest)
        return [message for line in lines if (message := self._take(line)) is not None]

    def _take(self, line: bytes) -> Message | None:
        line = line.removesuffix(b"\r")
        start = line.rfind(START_DELIMITER)  # base64 holds none, so what is before it lost its end
        if start >= 0:
            return self._begin(line[start + len(START_DELIMITER) :])
        if self._wanted and line.startswith(CONTINUE_DELIMITER):
            return self._continue(line[len(CONTINUE_DELIMITER) :])
        return None

    def _begin(self, text: bytes) -> Message | None:
        self._wanted = 0
        data = _decoded(text)
        if len(data) < FRAME_LENGTH_STRUCT.size:
            return None
        (self._wanted,) = FRAME_LENGTH_STRUCT.unpack_from(data)
        self._frame = bytearray(data[FRAME_LENGTH_STRUCT.size :])
        self._received = len(self._frame)
        return self._finish()

    def _continue(self, text: bytes) -> Message | None:
        data = _decoded(text)
        if not data:
            self._wanted = 0
            return None
        self._received += len(data)
        if not self._is_too_large or len(self._frame) < Header.SIZE:
            self._frame += data
        return self._finish()

    @property
    def _is_too_large(self) -> bool:
        return self._wanted > LARGEST_MESSAGE + CRC16_STRUCT.size

    def _finish(self) -> Message | None:
        if self._received < self._wanted:
            return None
        wanted, self._wanted = self._wanted, 0
        if wanted > LARGEST_MESSAGE + CRC16_STRUCT.size:
            return Message(data=bytes(self._frame[: Header.SIZE]), is_whole=False)
        # Over a message with its CRC behind it this CRC is 0.
        if self._received != wanted or wanted < Header.SIZE + CRC16_STRUCT.size or binascii.crc_hqx(self._frame, 0):
            return None
        return Message(data=bytes(self._frame[: -CRC16_STRUCT.size]))


def _decoded(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return b""
