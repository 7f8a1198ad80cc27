"""Each write of a whole lot breaks, before it is kept and after. Two stations at once share transactions, so one that
breaks is that of several requests; stations ask again, and every unit is finished without anybody's help."""

import random
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from imprint.testing.stores import Break
from imprint.testing.wire import Passage
from production_line import LONG, seed_of_today
from rule_mutants import reply_anyway
from wired_line import COUNT, Passages, calm, virtual_loop, whole_lot, wired_line

MOST_WRITES = 200


class Hurried:
    """Each message takes a time of its own, so that each is a transaction of its own."""

    def __init__(self) -> None:
        self._chance = random.Random(0)

    def __call__(self, _: str) -> Passage:
        return Passage(arrivals=(self._chance.uniform(0, 1),), reply=self._chance.uniform(0, 1))


def broken_at(
    template: Path, folder: Path, numbers: Iterable[int], how: Break, passages: Passages
) -> tuple[list[str], int]:
    """What is wrong after a whole lot in which these writes broke, and how many there were."""
    with virtual_loop() as loop, wired_line(template, folder, loop) as line:
        for number in numbers:
            line.store.break_at(number, how)
        try:
            loop.run(whole_lot(line, passages))
        except AssertionError as problem:
            return [*line.wrong(), str(problem)], line.store.writes
        wrong = line.wrong()
        if line.states() != ["complete"] * COUNT:
            wrong.append(f"the units are {line.states()}")
        writes = line.store.writes
    shutil.rmtree(folder)
    return wrong, writes


def sweep(template: Path, folder: Path, how: Break, passages: type[Hurried] | None, step: int) -> int:
    """Break one write after the other, until there is none of that number; how many were broken."""
    for number in range(1, MOST_WRITES, step):
        wrong, writes = broken_at(template, folder / str(number), [number], how, passages() if passages else calm)
        assert wrong == [], f"write {number} broke: {how.value}"
        if writes < number:
            return (number - 1) // step
    raise AssertionError("there is no end to the writes")


@pytest.mark.parametrize("how", list(Break))
@pytest.mark.parametrize("passages", [Hurried, None], ids=["one by one", "many at once"])
def test_any_write_may_break(
    factory_template: Path, tmp_path: Path, how: Break, passages: type[Hurried] | None
) -> None:
    step = 1 if LONG or passages is None else 3
    points = sweep(factory_template, tmp_path, how, passages, step)
    print(f"{'one by one' if passages else 'many at once'}, {how.value}: {points} points")
    assert points >= (18 if step == 1 and passages else 6)


@pytest.mark.parametrize("how", list(Break))
def test_many_writes_may_break(factory_template: Path, tmp_path: Path, how: Break) -> None:
    """Several in a row too, up to more than a station has patience for."""
    first = seed_of_today()
    print(f"seeds from {first}")
    for seed in range(first, first + (300 if LONG else 15)):
        chance = random.Random(seed)
        numbers = [number for number in range(1, 60) if chance.random() < 0.5]
        wrong, _ = broken_at(factory_template, tmp_path / str(seed), numbers, how, Hurried())
        assert wrong == [], f"IMPRINT_SEED={seed}"


def test_an_authority_that_replies_before_it_commits_is_found_out(
    factory_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the first write breaks before it is kept."""
    reply_anyway(monkeypatch)
    wrong, _ = broken_at(factory_template, tmp_path / "line", [1], Break.BEFORE, calm)
    print(*wrong, sep="\n")
    assert any("with a receipt, and it is not in the ledger" in one for one in wrong)
