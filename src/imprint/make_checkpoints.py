"""Checkpoints as work goes on: what a roll-back could hide is bounded by the time between two of them."""

import asyncio
from collections.abc import Callable
from typing import Final

from imprint.assemble import Platform

INTERVAL_S: Final = 5.0


async def make_checkpoints(platform: Platform, tell: Callable[[Exception], None]) -> None:
    """One every few seconds, until it is cancelled. A disk that is full now may have room later, so a failure is told
    and tried again: the line goes on."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        try:
            await asyncio.to_thread(platform.checkpoint)
        except Exception as problem:  # whatever it is, the next try may do
            tell(problem)
