"""An event loop whose time passes only where it waits: hours of retries, leases and takeovers in milliseconds.

Timeouts and pauses (:func:`asyncio.sleep`, :func:`asyncio.timeout`) work as they are. When nothing is ready, time jumps
to the next timer instead of being waited for.
"""

import asyncio
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

START: Final = datetime(2026, 11, 21, 11, 37, 7, 123000, tzinfo=UTC)


class VirtualTime(asyncio.SelectorEventLoop):
    """Starts at second 0. Use it with ``asyncio.Runner(loop_factory=VirtualTime)``, and with nothing in the loop that
    answers by itself, such as a socket, unless :func:`time_stands_still` is around the wait for it."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._standing = 0
        super().__init__(_Skipping(self))

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now_s

    def pass_idle(self, seconds: float) -> bool:
        """Let time pass if it may; whether it did."""
        if self._standing == 0:
            self._now_s += seconds
        return self._standing == 0

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """As :func:`time_stands_still`."""
        self._standing += 1
        try:
            yield
        finally:
            self._standing -= 1


@contextmanager
def time_stands_still() -> Iterator[None]:
    """Inside, something outside the loop is at work, a thread for example, and takes no virtual time. On any other loop
    it changes nothing."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualTime):
        with loop.standing_still():
            yield
    else:
        yield


class WallClock:
    """A :data:`imprint.clock.Clock` that follows a loop's time, and that can jump as the loop's own time never does."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, start: datetime = START) -> None:
        self._loop = loop
        self._start = start
        self._off = timedelta()

    def __call__(self) -> datetime:
        return self._start + self._off + timedelta(seconds=self._loop.time())

    def jump(self, by: timedelta) -> None:
        """Set the clock forward or back."""
        self._off += by

    def set_right(self) -> None:
        """Take all jumps back."""
        self._off = timedelta()


class _Skipping(selectors.DefaultSelector):
    """Waits for what is ready; skips the time in which nothing would be."""

    def __init__(self, loop: VirtualTime) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if ready or self._loop.pass_idle(timeout):
            return ready
        return super().select(None)
