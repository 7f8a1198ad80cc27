"""Every state against everything that can be asked: the table of the life cycle, as it shows from outside."""

from collections.abc import Callable

import pytest

from imprint.authority.production.life_cycle import COUNTED_AS, LIVE, TRANSITIONS, Move, State, count_change, next_state
from imprint.protocol.commands import ClearUnit, ExpireClaims, ReworkUnit, ScrapUnit
from imprint.protocol.intentions import Action
from imprint.protocol.refusals import Code
from imprint.testing.soft_unit import SoftUnit
from soft_factory import LEASE, LOT, Bench, Factory, new_unit

# "-" is a refusal. A unit in "early" is quarantined without a certificate, one in "early-again" in its second epoch.
TABLE = """
            claim     fuse    certify   lock      complete release  quarantine  clear     scrap    expire   rework
claimed     claimed   claimed certified -         -        released quarantined released  -        released -
certified   certified certified certified permitted -        -        quarantined certified scrapped -        -
permitted   permitted permitted permitted permitted complete -        quarantined permitted scrapped -        -
complete    -         -       -         -         -        -        -           complete  scrapped -        rework
released    claimed   -       -         -         -        -        -           released  -        -        -
quarantined -         -       -         -         -        -        -           certified scrapped -        rework
early       -         -       -         -         -        -        -           released  scrapped -        -
scrapped    -         -       -         -         -        -        -           -         -        -        -
rework      rework    rework  certified -         -        rework   quarantined rework    scrapped -        -
early-again -         -       -         -         -        -        -           rework    scrapped -        -
"""
LIVES = {"claimed", "rework", "certified", "permitted", "complete", "quarantined"}
COUNTED = {
    **{state: {"in_work": 1} for state in ("claimed", "rework", "certified", "permitted")},
    **{
        "complete": {"shipped": 1},
        "quarantined": {"quarantined": 1},
        "scrapped": {"scrapped": 1},
        "released": {},
        "superseded": {},
    },
}


FENCE = {"rework": 3, "early-again": 3}  # a claim, the rework, and a claim


def cells() -> list[tuple[str, str, str]]:
    head, *rows = [line.split() for line in TABLE.strip().splitlines()]
    return [(row[0], move, after) for row in rows for move, after in zip(head, row[1:], strict=True)]


def reach(factory: Factory, bench: Bench, state: str, unit: SoftUnit) -> bytes:
    if state == "released":
        bench.claim(unit)
        bench.release(unit)
        return b""
    if state == "scrapped":
        bench.to("certified", unit)
        factory.platform.command(ScrapUnit(serial="SN-0001", reason="burnt"))
        return b""
    if state in ("rework", "early-again"):
        bench.to("complete", unit)
        factory.platform.command(ReworkUnit(serial="SN-0001", reason="antenna"))
        challenge = bench.claim(unit, run="again").challenge
        if state == "early-again":
            bench.quarantine(unit, fence=FENCE[state])
        return challenge
    return bench.to("quarantined-early" if state == "early" else state, unit)


def moves(
    factory: Factory, bench: Bench, unit: SoftUnit, challenge: bytes, state: str
) -> dict[str, Callable[[], object]]:
    command, fence = factory.platform.command, FENCE.get(state, 1)
    return {
        "claim": lambda: bench.claim(unit, run="again" if fence > 1 else "run"),
        "fuse": lambda: bench.permit(unit, fence, Action.FUSE_BOOT_KEY),
        "certify": lambda: bench.certify(unit, fence),
        "lock": lambda: bench.permit(unit, fence),
        "complete": lambda: bench.complete(unit, challenge, fence),
        "release": lambda: bench.release(unit, fence),
        "quarantine": lambda: bench.quarantine(unit, fence),
        "clear": lambda: command(ClearUnit(serial="SN-0001", reason="looked at")),
        "scrap": lambda: command(ScrapUnit(serial="SN-0001", reason="burnt")),
        "rework": lambda: command(ReworkUnit(serial="SN-0001", reason="antenna")),
        "expire": lambda: command(ExpireClaims(lot=LOT)),
    }


@pytest.mark.parametrize(("state", "move", "after"), [cell for cell in cells() if cell[2] != "-"])
def test_each_move_along_the_table(factory: Factory, state: str, move: str, after: str) -> None:
    bench, unit = factory.bench(), new_unit()
    challenge = reach(factory, bench, state, unit)
    before, size = factory.unit(unit), factory.size()
    if move == "expire":
        factory.clock.advance(LEASE * 2)
    moves(factory, bench, unit, challenge, state)[move]()
    row = factory.unit(unit)
    assert row["state"] == after
    assert row["live"] == int(after in LIVES)
    assert factory.counts() == COUNTED[after]
    assert factory.size() == size + 1
    counted = COUNTED[str(before["state"])] != COUNTED[after]
    assert (factory.row("lots", lot=LOT)["last_leaf"] == factory.entries()[-1].leaf) == counted


@pytest.mark.parametrize("state", sorted({cell[0] for cell in cells()}))
def test_what_has_no_row_is_refused_and_changes_nothing(factory: Factory, state: str) -> None:
    bench, unit = factory.bench(), new_unit()
    challenge = reach(factory, bench, state, unit)
    before, lot = factory.unit(unit), factory.row("lots", lot=LOT)
    factory.clock.advance(LEASE * 2)
    acts = moves(factory, bench, unit, challenge, state)
    refused = [move for from_, move, after in cells() if (from_, after) == (state, "-")]
    for move in sorted(refused, key="claim".__eq__):
        shipped = (state, move) == ("complete", "claim")
        with factory.refuses(Code.ALREADY_COMPLETE if shipped else Code.WRONG_STATE):
            acts[move]()
        assert factory.unit(unit) == {**before, "contested": int(shipped)}
        marked = {"last_leaf": factory.entries()[-1].leaf} if shipped else {}
        assert factory.row("lots", lot=LOT) == {**lot, **marked}


def test_the_table_has_no_rows_but_those_above() -> None:
    shown = {
        ("quarantined" if state.startswith("early") else state, move, after)
        for state, move, after in cells()
        if after != "-"
    }
    held = {(str(state), str(move), str(after)) for (state, move), after in TRANSITIONS.items()}
    # Seen from outside, clearing what holds a place without a certificate is a release, or keeps it in a later epoch;
    # and what follows a rework is the next epoch.
    renamed = {("claimed", "clear", "released"), *(("quarantined", "clear", after) for after in ("released", "rework"))}
    renamed |= {(state, "rework", "rework") for state in ("complete", "quarantined")}
    inner = {("quarantined", "release", "released"), ("certified", "complete", "complete")}
    inner |= {("quarantined", "keep", "rework")}
    inner |= {(state, "rework", "superseded") for state in ("complete", "quarantined")}
    assert held == (shown - renamed) | inner


def test_a_move_without_a_row_leads_nowhere() -> None:
    assert next_state(State.SCRAPPED, Move.CLAIM) is None
    assert next_state(State.CLAIMED, Move.CERTIFY) is State.CERTIFIED


def test_the_living_are_those_that_can_ship_or_are_unknown() -> None:
    assert {str(state) for state in LIVE} == LIVES
    assert {str(state): {name: 1} if name else {} for state, name in COUNTED_AS.items()} == COUNTED


@pytest.mark.parametrize("before", [None, *State])
def test_counts_follow_the_state(before: State | None) -> None:
    for after in State:
        assert_counts_follow(before, after)


def assert_counts_follow(before: State | None, after: State) -> None:
    start = COUNTED[str(before)] if before else {}
    counts = dict.fromkeys(("in_work", "shipped", "quarantined", "scrapped"), 0) | start
    change = count_change(before, after)
    for name, by in change.items():
        assert by
        counts[name] += by
    assert {name: value for name, value in counts.items() if value} == COUNTED[str(after)]
