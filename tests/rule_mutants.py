"""Authorities that break one rule each. A test that would not see them has seen nothing."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from imprint import assemble
from imprint.authority.decisions import kernel as kernel_module
from imprint.authority.decisions.changes import Change, Row, Update
from imprint.authority.decisions.kernel import Ask, Committed, Kernel
from imprint.authority.decisions.outcome import Moment, Outcome
from imprint.authority.decisions.transaction import Reading, Transaction
from imprint.authority.ledger.envelope import OpenedEntry
from imprint.authority.production import certify, claim, complete, permit, take_over
from imprint.authority.production.catalogue import Catalogue
from imprint.authority.production.claim import can_prove_itself, claim_again, latest_unit
from imprint.authority.production.entries import CHANGES, UNIT_RECLAIMED, UNIT_TAKEN_OVER
from imprint.authority.production.held_unit import HeldUnit, Request, hold
from imprint.authority.production.life_cycle import Move
from imprint.storage.database import SqlReading
from soft_factory import LOT


def without_fence(patch: pytest.MonkeyPatch) -> None:
    """Whoever asks holds the unit, whenever it was claimed."""

    def hold_anyone(
        catalogue: Catalogue, moment: Moment, store: Reading, request: Request, move: Move, **settings: Any
    ) -> HeldUnit:
        row = latest_unit(store, request.hardware_id)
        if row is None:
            return hold(catalogue, moment, store, request, move, **settings)
        anyone, anytime = replace(moment, actor=row["station"]), replace(request, fence=row["fence"])
        return hold(catalogue, anyone, store, anytime, move, **settings)

    for room in (certify, permit, complete):
        patch.setattr(room, "hold", hold_anyone)


def without_actor(patch: pytest.MonkeyPatch) -> None:
    """A request ID belongs to everybody."""
    get = SqlReading.get

    def get_of_anyone(store: SqlReading, table: str, **key: Any) -> Row | None:
        if table != "requests":
            return get(store, table, **key)
        return next(iter(store.find(table, request_id=key["request_id"])), None)

    patch.setattr(SqlReading, "get", get_of_anyone)


def believing_claimants(patch: pytest.MonkeyPatch) -> None:
    """Whoever answers a challenge has the unit, whatever the answer is."""
    patch.setattr(take_over, "_refuse_clone", lambda *_: None)
    patch.setattr(take_over, "_refuse_unproven", lambda *_: None)


def challenges_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A proof is good at any time."""
    patch.setattr(take_over, "_stands", lambda store, unit, asked: can_prove_itself(store, unit))


def taking_over_at_the_same_fence(patch: pytest.MonkeyPatch) -> None:
    """The new station goes on with the number of the dead one."""

    def claim_at_the_same_fence(moment: Moment, unit: Row, *rest: Any) -> Outcome:
        return claim_again(moment, {**unit, "fence": unit["fence"] - 1}, *rest)

    def taken_over(entry: OpenedEntry) -> list[Change]:
        (change,) = CHANGES[UNIT_TAKEN_OVER](entry)
        assert isinstance(change, Update)
        return [replace(change, expect={})]

    patch.setattr(take_over, "claim_again", claim_at_the_same_fence)
    patch.setitem(assemble.CHANGES, UNIT_TAKEN_OVER, taken_over)


def counting_retries(patch: pytest.MonkeyPatch) -> None:
    """The same run again takes another place."""

    def reclaimed(entry: OpenedEntry) -> list[Change]:
        place = Update("lots", {"lot": LOT}, add={"in_work": 1})
        return [*CHANGES[UNIT_RECLAIMED](entry), place]

    patch.setitem(assemble.CHANGES, UNIT_RECLAIMED, reclaimed)


def leases_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A place that was claimed never comes back."""
    patch.setattr(claim, "_lease_is_over", lambda unit, moment: False)
    patch.setattr(SqlReading, "expired_claim", lambda store, lot, now: None)


def any_body(patch: pytest.MonkeyPatch) -> None:
    """A request ID that is known gets its answer, whatever is asked."""

    def repeat(_: Kernel, transaction: Transaction, moment: Moment, ask: Ask, body: str) -> Committed:
        earlier = transaction.get("requests", actor=moment.actor, request_id=ask.request_id)
        assert earlier is not None
        return kernel_module._repeat(transaction, earlier["leaf"])

    patch.setattr(Kernel, "_log_conflict", repeat)


def reply_anyway(patch: pytest.MonkeyPatch) -> None:
    """It replies what it is about to commit. It waits until the commit was tried, so that no race decides what is seen,
    and does not look at how that went."""

    def settle(kernel: Kernel, batch: Sequence[tuple[Ask, "Future[Committed]"]]) -> None:
        for ask, future in batch:
            decided: list[Committed] = []
            try:
                with kernel._store.writing() as transaction:
                    decided.append(kernel._decide(transaction, ask))
            except Exception as problem:  # a rule's own, too: who asks must not wait for ever
                if not decided:
                    future.set_exception(problem)
            for committed in decided:
                future.set_result(committed)

    patch.setattr(Kernel, "_settle", settle)


@dataclass(frozen=True, slots=True)
class RuleMutant:
    """How to plant it, and a pattern of what is then found."""

    plant: Callable[[pytest.MonkeyPatch], None]
    found: str


RULE_MUTANTS: Final[Mapping[str, RuleMutant]] = {
    "no fence": RuleMutant(without_fence, "is held by|asked with fence"),
    "a take-over without a proof": RuleMutant(believing_claimants, "has not proven that it is there"),
    "a challenge for ever": RuleMutant(challenges_for_ever, "has moved on since the challenge"),
    "a take-over at the same fence": RuleMutant(taking_over_at_the_same_fence, "fence . after ."),
    "no actor in request IDs": RuleMutant(without_actor, "answered with the entry of"),
    "a retry is counted": RuleMutant(counting_retries, "counts . in_work|within_grant"),
    "leases for ever": RuleMutant(leases_for_ever, "should have come back"),
    "any body under a known ID": RuleMutant(any_body, "or another body"),
    "a reply before the commit": RuleMutant(reply_anyway, "with a receipt, and it is not in the ledger"),
}
