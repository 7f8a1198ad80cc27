"""The far end of a serial line: a pty on which the package ``smp`` speaks, as a unit's firmware would."""

import asyncio
import os
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from smp import header, packet
from smp.message import Response

Handle = Callable[[bytes], list[bytes]]


class FarEnd:
    """Gives every whole request frame to ``handle`` and writes what that returns, as it is."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.requests: list[bytes] = []
        self.near, self.far = os.openpty()
        for end in (self.near, self.far):
            tty.setraw(end)
        os.set_blocking(self.near, False)
        self.path = os.ttyname(self.far)
        self._lines = b""
        self._decoder = packet.decode()
        next(self._decoder)

    def take(self) -> None:
        *lines, self._lines = (self._lines + os.read(self.near, 65536)).split(b"\n")
        for line in lines:
            if not line:
                continue
            try:
                self._decoder.send(line + b"\n")
            except StopIteration as finished:
                self._decoder = packet.decode()
                next(self._decoder)
                self.requests.append(finished.value)
                for data in self.handle(finished.value):
                    os.write(self.near, data)

    def close(self) -> None:
        for end in (self.near, self.far):
            os.close(end)


@contextmanager
def far_end(handle: Handle) -> Iterator[FarEnd]:
    """Serve on the running event loop."""
    end = FarEnd(handle)
    loop = asyncio.get_running_loop()
    loop.add_reader(end.near, end.take)
    try:
        yield end
    finally:
        loop.remove_reader(end.near)
        end.close()


def framed(response: Response) -> bytes:
    """A response as it goes over the line."""
    return b"".join(packet.encode(bytes(response), 128))


def sequence(request: bytes) -> int:
    """A request's sequence number."""
    return header.Header.loads(request[:8]).sequence
