"""The authority's clock jumps before any message of a whole lot, by minutes or by years, forward or back, for a while
or until all are sent; and the message's reply may be lost, so that its unit changes hands. Leases may end early or
late; no rule bends, and every unit is finished when the clock is right again.
"""

import itertools
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from imprint.authority.production import claim
from imprint.testing.virtual_time import WallClock
from imprint.testing.wire import Passage
from production_line import LONG, seed_of_today
from wired_line import BRIEF, COUNT, messages, virtual_loop, whole_lot, wired_line

JUMPS = {
    "past a lease": timedelta(minutes=61),
    "a year ahead": timedelta(days=365),
    "past the CA's end": timedelta(days=30 * 365),
    "back by a lease": timedelta(minutes=-61),
    "before the CA was made": timedelta(days=-2),
    "back to 1970": timedelta(days=-20_000),
}
BACK_AFTER = (0, 3)  # messages; 0: only when all have been sent
UNHEARD = replace(BRIEF, reply=None)
SOME = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Before which message the clock jumps, how far, after how many more messages it jumps back, and whether the
    station ever hears the answer."""

    message: str
    jump: str
    back_after: int
    lost: bool


class Jumping:
    """The passages of a point; the clock jumps on the way."""

    def __init__(self, clock: WallClock, point: Point) -> None:
        self._clock = clock
        self._point = point
        self._sent = 0  # since the jump

    def __call__(self, request_id: str) -> Passage:
        hit = request_id == self._point.message
        if self._sent or hit:
            self._sent += 1
        if self._sent == 1:
            self._clock.jump(JUMPS[self._point.jump])
        if self._point.back_after and self._sent == 1 + self._point.back_after:
            self._clock.set_right()
        return UNHEARD if hit and self._point.lost else BRIEF


def points() -> Iterator[Point]:
    for message, jump, back_after, lost in itertools.product(messages(), JUMPS, BACK_AFTER, (False, True)):
        yield Point(message=message, jump=jump, back_after=back_after, lost=lost)


def sweep(template: Path, folder: Path, chosen: Sequence[Point]) -> Iterator[str]:
    """What is wrong at each point."""
    for number, point in enumerate(chosen):
        with virtual_loop() as loop, wired_line(template, folder / str(number), loop) as line:
            loop.run(whole_lot(line, Jumping(line.clock, point)))
            yield from (f"{point}: {one}" for one in line.wrong())
            if line.states() != ["complete"] * COUNT:
                yield f"{point}: the units are {line.states()}"
        shutil.rmtree(folder / str(number))


def test_a_clock_may_jump(factory_template: Path, tmp_path: Path) -> None:
    seed = seed_of_today()
    every = list(points())
    chosen = every if LONG else random.Random(seed).sample(every, SOME)
    print(f"seed {seed}: {len(chosen)} points of {len(every)}")
    assert list(sweep(factory_template, tmp_path, chosen)) == []


def test_an_authority_that_ends_leases_early_is_found_out(
    factory_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: a second claimant is taken for one whose lease is over."""
    monkeypatch.setattr(claim, "_lease_is_over", lambda unit, moment: unit["state"] == "claimed")
    chosen = [point for point in points() if point.jump == "a year ahead" and ".claim" in point.message and point.lost]
    wrong = list(sweep(factory_template, tmp_path, chosen))
    print(*wrong[:2], f"{len(wrong)} in all", sep="\n")
    assert any("unit.expired" in one for one in wrong)
