"""The fixture's own instruments over the bench port (:mod:`imprint.formats.bench_port`): power and debug probe."""

import asyncio
from typing import Final, TypeVar

from imprint.errors import FormatError, UnitFailed, UnitSilent
from imprint.formats.bench_port import (
    Attached,
    Failed,
    Locked,
    PowerCycled,
    Reply,
    Request,
    encode_request,
    parse_reply,
)
from imprint.formats.provisioning_group import DebugLevel
from imprint.station.fixture import DEFAULT_BAUD
from imprint.station.targets.serial_port import SerialPort

ReplyT = TypeVar("ReplyT", PowerCycled, Attached)

_PATIENCE_S: Final = (10.0, 10.0)  # a supply with large capacitors takes seconds to go down
_NEXT_STEP: Final = "Check the fixture's bench port"


class Bench:
    """Implements :class:`imprint.station.targets.target.PowerSwitch` and ``DebugProbe``."""

    def __init__(self, path: str) -> None:
        self._port: Final = SerialPort(path, baud=DEFAULT_BAUD)

    def open(self) -> None:
        """Open the bench port."""
        self._port.open()

    def close(self) -> None:
        """Give it back."""
        self._port.close()

    async def power_cycle(self) -> None:
        """Off, and on again."""
        self._expect(await self._ask(Request.POWER_CYCLE), PowerCycled)

    async def attach(self) -> DebugLevel:
        """The level at which the debug port lets a probe in."""
        reply = await self._ask(Request.DEBUG_ATTACH)
        if isinstance(reply, Locked):
            return DebugLevel.LOCKED
        return self._expect(reply, Attached).level

    def _expect(self, reply: Reply, kind: type[ReplyT]) -> ReplyT:
        if isinstance(reply, kind):
            return reply
        why = reply.why if isinstance(reply, Failed) else "it answered something else"
        raise UnitFailed(f"the fixture could not do it: {why}", subject=self._port.path, next_step=_NEXT_STEP)

    async def _ask(self, request: Request) -> Reply:
        for timeout_s in _PATIENCE_S:
            self._port.discard_input()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._port.write(encode_request(request))
                    return parse_reply(await self._port.read_line())
            except (TimeoutError, FormatError):
                self._port.open()  # drops an answer that comes too late for this question
        raise UnitSilent(f"no answer to '{request}'", subject=self._port.path, next_step=_NEXT_STEP)
