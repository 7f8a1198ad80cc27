"""The life of a unit in a lot: a table, and what each state counts as.

Rules in two sentences: a unit moves only along a row of ``TRANSITIONS``; each state counts as one place of the lot's
grant, except ``RELEASED`` and ``SUPERSEDED``, whose place the next epoch has. What a move needs beside the state (a
fence, evidence, a free place) is in the rules.
"""

from collections.abc import Mapping
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final


@unique
class State(StrEnum):
    """Where one epoch of a unit is."""

    CLAIMED = "claimed"  # has a place in the lot, on a lease
    CERTIFIED = "certified"  # has its certificate
    PERMITTED = "permitted"  # may be locked
    COMPLETE = "complete"  # shipped
    RELEASED = "released"  # gave its place back before a certificate was issued
    QUARANTINED = "quarantined"  # in an unknown state
    SCRAPPED = "scrapped"  # destroyed; its certificate is revoked
    SUPERSEDED = "superseded"  # started again as the next epoch; its certificate is revoked
    REWORK = "rework"  # a later epoch without a certificate yet: its place never goes back by itself


@unique
class Move(StrEnum):
    """What can happen to a unit."""

    CLAIM = "claim"
    FUSE = "fuse"
    CERTIFY = "certify"
    LOCK = "lock"
    COMPLETE = "complete"
    RELEASE = "release"
    EXPIRE = "expire"
    QUARANTINE = "quarantine"
    CLEAR = "clear"  # a security officer has looked at it
    SCRAP = "scrap"
    REWORK = "rework"  # the end of an epoch; the next one begins in its place
    KEEP = "keep"  # what a release by an officer is to a later epoch


_S, _M = State, Move

TRANSITIONS: Final[Mapping[tuple[State, Move], State]] = MappingProxyType(
    {
        (_S.CLAIMED, _M.CLAIM): _S.CLAIMED,  # the same run again, after a crash
        (_S.CERTIFIED, _M.CLAIM): _S.CERTIFIED,
        (_S.PERMITTED, _M.CLAIM): _S.PERMITTED,
        (_S.RELEASED, _M.CLAIM): _S.CLAIMED,
        (_S.CLAIMED, _M.FUSE): _S.CLAIMED,
        (_S.CERTIFIED, _M.FUSE): _S.CERTIFIED,  # a new run of a cleared unit, which observes the fuse
        (_S.PERMITTED, _M.FUSE): _S.PERMITTED,
        (_S.CLAIMED, _M.CERTIFY): _S.CERTIFIED,
        (_S.CERTIFIED, _M.CERTIFY): _S.CERTIFIED,  # the same key again
        (_S.PERMITTED, _M.CERTIFY): _S.PERMITTED,
        (_S.CERTIFIED, _M.LOCK): _S.PERMITTED,
        (_S.PERMITTED, _M.LOCK): _S.PERMITTED,
        (_S.CERTIFIED, _M.COMPLETE): _S.COMPLETE,  # only for products that ask for no lock
        (_S.PERMITTED, _M.COMPLETE): _S.COMPLETE,
        (_S.CLAIMED, _M.RELEASE): _S.RELEASED,
        (_S.CLAIMED, _M.EXPIRE): _S.RELEASED,
        (_S.CLAIMED, _M.QUARANTINE): _S.QUARANTINED,
        (_S.CERTIFIED, _M.QUARANTINE): _S.QUARANTINED,
        (_S.PERMITTED, _M.QUARANTINE): _S.QUARANTINED,
        (_S.QUARANTINED, _M.CLEAR): _S.CERTIFIED,  # only with a certificate
        (_S.QUARANTINED, _M.RELEASE): _S.RELEASED,  # only without one, and only by an officer
        (_S.CERTIFIED, _M.CLEAR): _S.CERTIFIED,
        (_S.PERMITTED, _M.CLEAR): _S.PERMITTED,
        (_S.COMPLETE, _M.CLEAR): _S.COMPLETE,
        (_S.RELEASED, _M.CLEAR): _S.RELEASED,
        (_S.CERTIFIED, _M.SCRAP): _S.SCRAPPED,
        (_S.PERMITTED, _M.SCRAP): _S.SCRAPPED,
        (_S.QUARANTINED, _M.SCRAP): _S.SCRAPPED,
        (_S.COMPLETE, _M.SCRAP): _S.SCRAPPED,
        (_S.COMPLETE, _M.REWORK): _S.SUPERSEDED,
        (_S.QUARANTINED, _M.REWORK): _S.SUPERSEDED,  # only with a certificate
        (_S.REWORK, _M.CLAIM): _S.REWORK,
        (_S.REWORK, _M.FUSE): _S.REWORK,
        (_S.REWORK, _M.CERTIFY): _S.CERTIFIED,
        (_S.REWORK, _M.RELEASE): _S.REWORK,  # the station lets go; the place is kept for the unit
        (_S.REWORK, _M.QUARANTINE): _S.QUARANTINED,
        (_S.REWORK, _M.CLEAR): _S.REWORK,
        (_S.REWORK, _M.SCRAP): _S.SCRAPPED,
        (_S.QUARANTINED, _M.KEEP): _S.REWORK,  # only without a certificate, in a later epoch
    }
)

LIVE: Final = frozenset({_S.CLAIMED, _S.REWORK, _S.CERTIFIED, _S.PERMITTED, _S.COMPLETE, _S.QUARANTINED})

# The column of a lot in which a unit in this state is counted.
COUNTED_AS: Final[Mapping[State, str | None]] = MappingProxyType(
    {
        _S.CLAIMED: "in_work",
        _S.REWORK: "in_work",
        _S.CERTIFIED: "in_work",
        _S.PERMITTED: "in_work",
        _S.COMPLETE: "shipped",
        _S.QUARANTINED: "quarantined",
        _S.SCRAPPED: "scrapped",
        _S.RELEASED: None,
        _S.SUPERSEDED: None,
    }
)


def next_state(state: State, move: Move) -> State | None:
    """The state after a move, or None when the table has no such row."""
    return TRANSITIONS.get((state, move))


def count_change(before: State | None, after: State) -> dict[str, int]:
    """What a move adds to and takes from the lot's counts; empty when nothing changes. ``None`` is a new unit."""
    old = COUNTED_AS[before] if before is not None else None
    new = COUNTED_AS[after]
    if old == new:
        return {}
    change = {}
    if old is not None:
        change[old] = -1
    if new is not None:
        change[new] = 1
    return change
