"""Each message of a whole lot is lost, repeated and delayed, also past a takeover of its unit; and weather from a seed.

``IMPRINT_SEED=N`` repeats the weather of seed N, and the short form's choice of points.
"""

import itertools
import random
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from imprint.testing.wire import MISHAPS, Passage, Weather
from production_line import LONG, seed_of_today
from rule_mutants import without_fence
from wired_line import BRIEF, COUNT, LEASE_S, Passages, messages, virtual_loop, whole_lot, wired_line

GIVES_UP_S = 126.2  # a station, after its last attempt
# Seconds after a takeover has begun: before, between and after its four requests, which arrive after 1, 3, 5 and 7.
INTO_A_TAKEOVER = (0.5, 1.5, 3.5, 5.5, 60.0)
SOME = 40  # points of the short form
WEATHERS = 500 if LONG else 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One place of a sweep: what happens to a message at so many of its attempts, the others being calm."""

    message: str
    mishap: str
    passage: Passage
    attempts: int
    same_taker: bool = False


class Aimed:
    """The passages of a point."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self.hits = 0

    def __call__(self, request_id: str) -> Passage:
        if request_id != self._point.message or self.hits == self._point.attempts:
            return BRIEF
        self.hits += 1
        return self._point.passage


def points() -> Iterator[Point]:
    """Each message with each mishap at its first attempt, and with all its attempts delayed into a takeover."""
    for message in messages():
        for mishap, passage in MISHAPS.items():
            yield Point(message=message, mishap=mishap, passage=passage, attempts=1)
        for after_s, same in itertools.product(INTO_A_TAKEOVER, (False, True)):
            late = Passage(arrivals=(GIVES_UP_S + LEASE_S + 1 + after_s,), reply=None)
            mishap = f"delayed {after_s} s into a takeover"
            yield Point(message=message, mishap=mishap, passage=late, attempts=4, same_taker=same)


def made_whole(template: Path, folder: Path, passages: Passages, *, same_taker: bool = False) -> list[str]:
    """What is wrong after a whole lot with these passages."""
    with virtual_loop() as loop, wired_line(template, folder, loop) as line:
        try:
            loop.run(whole_lot(line, passages, same_taker=same_taker))
        except AssertionError as problem:
            return [*line.wrong(), str(problem)]
        wrong = line.wrong()
        if line.states() != ["complete"] * COUNT:
            wrong.append(f"the units are {line.states()}")
    shutil.rmtree(folder)
    return wrong


def sweep(template: Path, folder: Path, chosen: Iterable[Point]) -> Iterator[str]:
    """What is wrong at each point."""
    for number, point in enumerate(chosen):
        aimed = Aimed(point)
        wrong = made_whole(template, folder / str(number), aimed, same_taker=point.same_taker)
        assert aimed.hits == point.attempts, f"{point}: {aimed.hits} messages were met"
        yield from (f"{point}: {one}" for one in wrong)


def test_some_messages_meet_with_mishaps(factory_template: Path, tmp_path: Path) -> None:
    seed = seed_of_today()
    print(f"seed {seed}")
    chosen = random.Random(seed).sample(list(points()), SOME)
    assert list(sweep(factory_template, tmp_path, chosen)) == []


@pytest.mark.skipif(not LONG, reason="run it with 'make sweep'")
@pytest.mark.parametrize("mishap", sorted({point.mishap for point in points()}))
def test_any_message_may_meet_with_a_mishap(factory_template: Path, tmp_path: Path, mishap: str) -> None:
    chosen = [point for point in points() if point.mishap == mishap]
    assert list(sweep(factory_template, tmp_path, chosen)) == []
    print(f"{mishap}: {len(chosen)} points")


@pytest.mark.parametrize("calm", [0, 1, 3])
def test_whatever_the_weather(factory_template: Path, tmp_path: Path, calm: int) -> None:
    """Down to a storm, in which no message is left alone."""
    first = seed_of_today()
    print(f"seeds from {first}")
    met: Counter[str] = Counter()
    for seed in range(first, first + WEATHERS):
        weather = Weather(seed, calm=calm)
        assert made_whole(factory_template, tmp_path / str(seed), weather) == [], f"IMPRINT_SEED={seed}, {weather}"
        met.update(text.partition(": ")[2] for text in weather.log)
    print(f"{WEATHERS} times weather with {calm} calm messages to a mishap: {dict(met)}")
    assert set(met) == set(MISHAPS)


def test_an_authority_without_a_fence_is_found_out(
    factory_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: messages of each kind do harm when they are late, but for claims, which need no fence, and
    completions, which answer a challenge."""
    without_fence(monkeypatch)
    chosen = [point for point in points() if point.message.startswith("east") and "s into" in point.mishap]
    chosen = [point for point in chosen if point.passage.arrivals[0] - chosen[0].passage.arrivals[0] < 4]
    wrong = list(sweep(factory_template, tmp_path, chosen))
    kinds = ("certify", "permit", "release", "quarantine")
    harmful = {kind: [one for one in wrong if f".{kind}'" in one] for kind in kinds}
    print(*(found[0] for found in harmful.values() if found), f"{len(wrong)} in all", sep="\n")
    assert all(harmful.values()), {kind: len(found) for kind, found in harmful.items()}
