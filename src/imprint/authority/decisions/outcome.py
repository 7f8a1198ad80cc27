"""What a rule returns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from imprint.authority.decisions.transaction import Reading
from imprint.authority.ledger.envelope import Fields
from imprint.protocol.answers import Refused, Result


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was decided. ``public`` is readable by outsiders, ``private`` only through the opening.

    ``blobs`` are stored beside the entry under their SHA-256; ``private`` refers to them by that hash.
    """

    type: str
    private: Fields
    public: Fields = field(default_factory=dict)
    blobs: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Events in their order (the last one carries the request and its result) and what the asker is told."""

    events: tuple[Event, ...]
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a rule may know beside the request and the store: who, when, and fresh randomness."""

    actor: str
    now: datetime
    time: str
    random: Callable[[int], bytes]


# A rule decides one kind of request. It reads, it never writes.
Rule = Callable[[Moment, Reading, Any], Outcome]

REFUSED = "request.refused"


class Refusal(Exception):
    """Raised inside a rule to say no; the kernel turns it into a logged answer. Never leaves the kernel.

    ``private`` adds to the entry, so that its changes can mark what the refusal revealed.
    """

    def __init__(self, code: str, message: str, *, next_step: str = "", private: Fields | None = None) -> None:
        super().__init__(message)
        self.result = Refused(code=code, message=message, next_step=next_step)
        self.private = private or {}
