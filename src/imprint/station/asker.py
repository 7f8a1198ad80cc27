"""Asking the authority for one run, through the journal: every question is asked once, whatever crashes.

The body is journalled before it is sent and the answer after it came. A run that goes on after a crash gets answered
questions answered from the journal, and asks the others again word for word under the same request ID.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from imprint.errors import StorageError, Unreachable
from imprint.protocol.answers import Answer, Result
from imprint.protocol.codec import decode_answer, decode_intention, encode_answer, encode_intention
from imprint.protocol.intentions import Intention
from imprint.protocol.port import AuthorityPort
from imprint.station.journal import Journal
from imprint.station.journal_entry import Answered, Asked

_PATIENCE_S: Final = 30.0
_PAUSES_S: Final = (0.2, 1.0, 5.0)  # between attempts, while the outcome is unknown
_LONGEST_PAUSE_S: Final = 15.0  # between attempts, while the authority is away

Sleep = Callable[[float], Awaitable[None]]


class Asker:
    """Asks on behalf of one run."""

    def __init__(
        self,
        *,
        run: str,
        port: AuthorityPort,
        journal: Journal,
        report: Callable[[str], None] = lambda _: None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.run: Final = run
        self.deadline: asyncio.Timeout | None = None  # of the step at work; it stands still while the authority is away
        self._port: Final = port
        self._journal: Final = journal
        self._report: Final = report
        self._sleep: Final = sleep

    def request_id(self, step: str) -> str:
        """Under which this run asks at this step."""
        return f"{self.run}.{step}"

    def has_asked(self, step: str) -> bool:
        """Whether this run has asked at this step, perhaps before a crash."""
        return self.request_id(step) in self._journal.history.open_run(self.run).asked

    async def ask(self, step: str, intention: Intention) -> Result:
        """The authority's result, which may be a refusal. A step asks once in a run; when it has asked before,
        ``intention`` is not looked at. An authority that is away is waited for, for as long as it takes: a unit in the
        middle of its run must not be given up for a network. Raises :class:`StorageError` when it is there and cannot
        answer, and :class:`imprint.errors.AccessError` when this station may not ask."""
        request = self.request_id(step)
        known = self._journal.history.open_run(self.run)
        if request in known.answered:
            return decode_answer(known.answered[request].encode()).result
        if request in known.asked:
            intention = decode_intention(known.asked[request].encode())
        else:
            body = encode_intention(intention).decode()
            self._journal.append(Asked(run=self.run, request=request, body=body))
        answer = await self._send_until_reached(request, intention)
        self._journal.append(Answered(run=self.run, request=request, answer=encode_answer(answer).decode()))
        return answer.result

    async def _send_until_reached(self, request: str, intention: Intention) -> Answer:
        pause_s, left_s = _PAUSES_S[0], self._stop_clock()
        try:
            while True:
                try:
                    return await self._send(request, intention)
                except Unreachable as problem:
                    self._report(problem.what)
                    await self._sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            self._start_clock(left_s)

    def _stop_clock(self) -> float | None:
        when = self.deadline.when() if self.deadline else None
        if self.deadline is None or when is None:
            return None
        self.deadline.reschedule(None)
        return when - asyncio.get_running_loop().time()

    def _start_clock(self, left_s: float | None) -> None:
        if self.deadline is not None and left_s is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time() + left_s)

    async def _send(self, request: str, intention: Intention) -> Answer:
        for pause_s in (*_PAUSES_S, None):
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    return await self._port.ask(request, intention)
            except Unreachable:
                raise
            except (StorageError, TimeoutError) as problem:
                if pause_s is None:
                    told = problem if isinstance(problem, StorageError) else StorageError("no answer came in time")
                    raise StorageError(
                        f"the outcome is unknown: {told.what}",
                        subject=request,
                        next_step=told.next_step or "Run the same unit again; nothing is lost",
                    ) from problem
                await self._sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")
