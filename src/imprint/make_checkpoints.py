"""Checkpoints as work goes on: what a roll-back could hide is bounded by the time between two of them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from imprint.assemble import Platform

INTERVAL_S: Final = 5.0


@contextmanager
def making_checkpoints(
    platform: Platform, tell: Callable[[Exception], None], *, interval_s: float = INTERVAL_S
) -> Iterator[None]:
    """Meanwhile, one every few seconds, in a thread. A disk that is full now may have room later, so a failure is told
    (in that thread) and tried again: the line goes on."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(interval_s):
            try:
                platform.checkpoint()
            except Exception as problem:  # whatever it is, the next try may do
                tell(problem)

    thread = threading.Thread(target=work, name="imprint-checkpoints", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
