"""What a journal's entries add up to. Pure: entries in, answers to the runner's questions out.

Of a run that is over only what is asked later is kept, so that a station can work for years with one journal.
"""

from dataclasses import dataclass, field

from imprint.errors import FormatError
from imprint.protocol.answers import Certified
from imprint.protocol.codec import decode_answer
from imprint.station.journal_entry import Answered, Asked, Entry, RunEnded, RunStarted, StepPassed
from imprint.station.run_event import Status


@dataclass(slots=True, kw_only=True)
class OpenRun:
    """A run without an end. ``asked`` and ``answered`` map request IDs to exact bytes, in the order of asking."""

    started: RunStarted
    asked: dict[str, str] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)
    passed: list[StepPassed] = field(default_factory=list)


class RunHistory:
    """All runs of a station."""

    def __init__(self) -> None:
        self._open: dict[str, OpenRun] = {}
        self._ended: set[str] = set()
        self._identities: dict[str, bytes] = {}

    def add(self, entry: Entry) -> None:
        """Take the next entry. Raises :class:`FormatError` for one that cannot follow what is there."""
        if isinstance(entry, RunStarted):
            if entry.run in self._open or entry.run in self._ended:
                raise FormatError(f"run {entry.run} starts twice")
            self._open[entry.run] = OpenRun(started=entry)
            return
        run = self._open.get(entry.run)
        if run is None:
            raise FormatError(f"run {entry.run} is not open")
        match entry:
            case Asked(request=request, body=body):
                if request in run.asked:
                    raise FormatError(f"request {request} is asked twice")
                run.asked[request] = body
            case Answered(request=request, answer=answer):
                if request not in run.asked or request in run.answered:
                    raise FormatError(f"request {request} has no open question")
                run.answered[request] = answer
            case StepPassed(index=index):
                if run.passed and run.passed[-1].index >= index:
                    raise FormatError(f"step {index} passes out of order")
                run.passed.append(entry)
            case RunEnded(outcome=outcome):
                if outcome == Status.COMPLETE:
                    self._identities[run.started.hardware_id] = _certificate(run)
                self._ended.add(entry.run)
                del self._open[entry.run]

    def open_run(self, run: str) -> OpenRun:
        """A run that has started and not ended."""
        return self._open[run]

    def unfinished(self, hardware_id: str) -> tuple[OpenRun, ...]:
        """The runs of this unit that have no end, the oldest first."""
        return tuple(run for run in self._open.values() if run.started.hardware_id == hardware_id)

    def identity(self, hardware_id: str) -> bytes | None:
        """The certificate (DER) with which this unit was last completed here, or None."""
        return self._identities.get(hardware_id)


def _certificate(run: OpenRun) -> bytes:
    for text in run.answered.values():
        result = decode_answer(text.encode()).result
        if isinstance(result, Certified):
            return result.certificate
    raise FormatError(f"run {run.started.run} is complete without a certificate")
