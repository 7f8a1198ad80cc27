"""A serial line, read line by line, on the event loop: no thread, no polling.

pyserial opens the device (raw mode, baud rate, ``flock``, so that no second program drives the same unit); from there
the file descriptor belongs to the loop. Works on a tty and on a pseudo-terminal.
"""

import asyncio
import errno
import os
from collections import deque
from typing import Final

import serial

from imprint.errors import ConflictError, UnitSilent

_MAX_LINE: Final = 1 << 16
_MAX_WAITING: Final = 1024  # lines; the oldest are dropped, for a console that babbles while nobody reads
_READ_SIZE: Final = 1 << 16


class SerialPort:
    """One serial line. Owned by one task at a time, on one event loop."""

    def __init__(self, path: str, *, baud: int) -> None:
        self.path: Final = path
        self._baud: Final = baud
        self._device: serial.Serial | None = None
        self._lines: Final[deque[bytes]] = deque(maxlen=_MAX_WAITING)
        self._partial = b""
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False

    def open(self) -> None:
        """Raises :class:`ConflictError` when another program holds the port, :class:`UnitSilent` when it won't open."""
        self.close()
        try:
            device = serial.Serial(self.path, self._baud, timeout=0, exclusive=True)
        except (OSError, ValueError) as problem:
            if getattr(problem, "errno", None) in (errno.EAGAIN, errno.EBUSY):
                raise ConflictError(
                    "another program holds this port", subject=self.path, next_step="Close the other program"
                ) from None
            reason = os.strerror(problem.errno) if isinstance(problem, OSError) and problem.errno else "not a tty"
            raise UnitSilent(
                f"the port does not open: {reason}", subject=self.path, next_step="Check the cable and the port's name"
            ) from None
        self._device, self._lost, self._partial = device, False, b""
        self._lines.clear()
        os.set_blocking(device.fileno(), False)
        asyncio.get_running_loop().add_reader(device.fileno(), self._on_readable)

    def close(self) -> None:
        """Give the port back. Closing a closed port is fine."""
        if self._device is not None:
            self._forget_descriptor()
            self._device.close()
            self._device = None

    def discard_input(self) -> None:
        """Drop the lines that nobody has read."""
        self._lines.clear()

    async def write(self, data: bytes) -> None:
        """Write all of ``data``, as fast as the line takes it. Raises :class:`UnitSilent` when the port is lost."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor(), rest) :]
            except BlockingIOError:
                await self._writable()
            except OSError:
                self._lose()

    async def read_line(self) -> bytes:
        """The next line, without its newline. Raises :class:`UnitSilent` when the port is lost."""
        while not self._lines:
            self._descriptor()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._lines.popleft()

    def _descriptor(self) -> int:
        if self._device is None or self._lost:
            raise UnitSilent("the port was lost", subject=self.path, next_step="Check the cable, then run again")
        descriptor: int = self._device.fileno()
        return descriptor

    def _on_readable(self) -> None:
        try:
            data = os.read(self._descriptor(), _READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
        else:
            *lines, rest = (self._partial + data).split(b"\n")
            self._lines.extend(lines)
            self._partial = rest if len(rest) <= _MAX_LINE else b""
        if self._waiter is not None and not self._waiter.done() and (self._lines or self._lost):
            self._waiter.set_result(None)

    def _lose(self) -> None:
        self._lost = True
        self._forget_descriptor()

    def _forget_descriptor(self) -> None:
        if self._device is not None and self._device.is_open:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._device.fileno())
            loop.remove_writer(self._device.fileno())

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def on_writable() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_writer(self._descriptor(), on_writable)
        try:
            await ready
        finally:
            if self._device is not None and self._device.is_open:
                loop.remove_writer(self._device.fileno())
