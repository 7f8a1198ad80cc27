"""``kill -9`` of the station, its authority in the same process, at random moments; then one undisturbed run."""

import random
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hasty_authority import HASTY

from line_check import answered, disagreements
from production_line import IMPRINT, LONG, Line, make_line, run, seed_of_today, served, statuses

AT_ONCE = 6
START_S = 1.5  # about what a station takes to its first question
WORK_S = 0.3  # about what it takes from there to its last one


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """Where the kills landed, and what was wrong after the last run."""

    landed: Counter[str]
    final: list[str]
    wrong: list[str]


def sweep(folder: Path, *, kills: int, seed: int, program: tuple[str, ...] = IMPRINT) -> Swept:
    """Kill stations at their work on a few units each, then have one finish all of them."""
    chance, count = random.Random(seed), AT_ONCE + 3 * kills
    print(f"seed {seed}, {kills} kills, {count} units")
    landed: Counter[str] = Counter()
    line = make_line(folder, count=count)
    with served(line.bench, count):
        for number in range(kills):
            open_units = sorted(set(range(count)) - complete_units(line))
            units = sorted(chance.sample(open_units[: 2 * AT_ONCE], k=min(AT_ONCE, len(open_units))))
            anywhere = number % 4 == 3
            landed[kill_once(line, replace(line, program=program).station(units), chance, anywhere)] += 1
        print(f"landed {dict(landed)}, {len(complete_units(line))} units complete before the last run")
        final = statuses(run(line.station(range(count))))
    return Swept(landed=landed, final=final, wrong=disagreements(line, finished=True))


def complete_units(line: Line) -> set[int]:
    """The numbers of the units that the database calls complete."""
    database = sqlite3.connect(f"file:{line.workspace}/imprint.db?mode=ro", uri=True)
    try:
        rows = {row[0] for row in database.execute("SELECT hardware_id FROM units WHERE state = 'complete'")}
    finally:
        database.close()
    ids = {int(path.parent.name): path.read_bytes().hex() for path in line.bench.glob("units/*/hardware-id")}
    return {number for number, hardware_id in ids.items() if hardware_id in rows}


def kill_once(line: Line, command: Sequence[str], chance: random.Random, anywhere: bool) -> str:
    """Kill a station at any time of its life, or between its first claim and about its last completion."""
    before = size_of(line.journal())
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if anywhere:
        time.sleep(chance.uniform(0, START_S))
    else:
        while process.poll() is None and size_of(line.journal()) == before:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, WORK_S))
    process.kill()
    ended = process.wait()
    if ended != -9:
        return "after the end"
    return "at work" if size_of(line.journal()) > before else "before the first question"


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_no_kill_loses_a_unit_or_makes_a_second_one(tmp_path: Path) -> None:
    kills = 50 if LONG else 8
    swept = sweep(tmp_path, kills=kills, seed=seed_of_today())
    assert swept.wrong == []
    assert set(swept.final) <= {"complete", "already-complete"}
    assert swept.landed["at work"] >= kills // 4, "kills that hit nothing prove nothing"
    assert answered(Line(folder=tmp_path)), "the check has looked at receipts"


def test_an_authority_that_replies_before_it_commits_is_found_out(tmp_path: Path) -> None:
    """The negative control: the same sweep, the same check."""
    swept = sweep(tmp_path, kills=4, seed=seed_of_today(), program=HASTY)
    assert swept.landed["at work"] >= 1
    print(*swept.wrong, sep="\n")
    assert any("acknowledged with a receipt, and not in the ledger" in one for one in swept.wrong)
