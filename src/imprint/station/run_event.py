"""What a runner tells while it works, and at the end."""

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Status(StrEnum):
    """Where a fixture is. From ``COMPLETE`` on, how its run ended."""

    WORKING = "working"  # in a step; the message tells how far
    WAITING = "waiting"  # for an authority that does not answer
    PASSED = "passed"  # a step is over
    COMPLETE = "complete"
    ALREADY_COMPLETE = "already-complete"  # this very unit was completed before; nothing was done
    REFUSED = "refused"  # the authority refused the claim; nothing was done to the unit
    RELEASED = "released"  # failed before it had a certificate: its place in the lot is free again
    QUARANTINED = "quarantined"  # failed with a certificate, or in a state that nobody knows
    FAILED = "failed"  # failed before it had a place in the lot, or the authority did not take the place back
    INTERRUPTED = "interrupted"  # the authority or the journal was out of reach: run the unit again to go on


GOOD = frozenset({Status.COMPLETE, Status.ALREADY_COMPLETE})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """Something happened on a fixture; for a live table. What is not known yet is None."""

    fixture: str
    run: str | None
    hardware_id: str | None
    serial: str | None
    step: str | None
    status: Status
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome(RunEvent):
    """The last event of a fixture: how its run ended. ``step`` is the one that failed, or None."""
