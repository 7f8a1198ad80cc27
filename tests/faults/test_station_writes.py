"""The station's writes to the disk, each of them in turn its last one, or one that fails; then one undisturbed run.

strace counts the calls of each thread by itself: ``fdatasync`` and ``pwrite64`` are the database's, ``fsync`` the
journal's and the ledger's files', ``write`` the journal's, the files' and what is sent to the units.
"""

import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hasty_authority import HASTY

from line_check import disagreements
from production_line import LONG, Line, make_line, run, served, statuses

KILL = "signal=SIGKILL"
FULL = "error=ENOSPC"
AT_A_TIME = 2  # units
MOST_CALLS = 1000
MOST_UNITS = 200
GOOD = {"complete", "already-complete"}


def disturbed(line: Line, units: list[int], call: str, fault: str, number: int) -> bool:
    """Run a station whose ``number``-th ``call`` of a thread is disturbed; whether it came to that."""
    trace = line.folder / "trace"
    inject = ["strace", "-f", "-o", str(trace), "-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={number}"]
    done = run([*inject, *line.station(units)])
    seen = trace.read_text()
    hit = "+++ killed by SIGKILL" in seen or "(INJECTED)" in seen
    assert hit or done.returncode == 0, done.stderr
    return hit


def sweep(line: Line, points: Iterable[tuple[str, str, int]]) -> list[int]:
    """Disturb one call after the other, each with fresh units, until a run has no such call; which were hit."""
    hit: list[int] = []
    for call, fault, number in points:
        units = [AT_A_TIME * len(hit) + unit for unit in range(AT_A_TIME)]
        if not disturbed(line, units, call, fault, number):
            break
        hit.append(number)
        done = run(line.station(units))
        wrong = disagreements(line, finished=True)
        assert (wrong, set(statuses(done)) <= GOOD) == ([], True), f"{call} {fault} {number}: {wrong} {done.stdout}"
    return hit


def test_a_few_writes_are_the_last_or_fail(tmp_path: Path) -> None:
    points = [("fsync", KILL, 33), ("fdatasync", KILL, 7), ("pwrite64", KILL, 150), ("pwrite64", FULL, 40)]
    line = make_line(tmp_path, count=AT_A_TIME * len(points))
    with served(line.bench, AT_A_TIME * len(points)):
        assert len(sweep(line, points)) == len(points)


@pytest.mark.skipif(not LONG, reason="minutes: run it with 'make sweep'")
@pytest.mark.parametrize("fault", [KILL, FULL])
@pytest.mark.parametrize(("call", "step", "least"), [("fsync", 1, 40), ("fdatasync", 1, 8), ("pwrite64", 10, 15)])
def test_any_write_may_be_the_last_or_fail(tmp_path: Path, call: str, step: int, least: int, fault: str) -> None:
    """``write`` is left out where calls fail: most of its calls are the cable to a unit."""
    line = make_line(tmp_path, count=MOST_UNITS)
    with served(line.bench, MOST_UNITS):
        hit = sweep(line, ((call, fault, number) for number in range(1, MOST_CALLS, step)))
    print(f"{call} {fault}: {len(hit)} points up to {hit[-1]}")
    assert len(hit) >= least


@pytest.mark.skipif(not LONG, reason="minutes: run it with 'make sweep'")
def test_any_byte_on_its_way_to_file_or_unit_may_be_the_last(tmp_path: Path) -> None:
    line = make_line(tmp_path, count=MOST_UNITS)
    with served(line.bench, MOST_UNITS):
        hit = sweep(line, (("write", KILL, number) for number in range(1, MOST_CALLS, 10)))
    print(f"write {KILL}: {len(hit)} points up to {hit[-1]}")
    assert len(hit) >= 15


def test_a_hasty_authority_is_found_out_at_its_first_commits(tmp_path: Path) -> None:
    """The negative control: of its first two decisions' replies, the journal keeps one that the ledger has not."""
    line = make_line(tmp_path, count=AT_A_TIME)
    units = list(range(AT_A_TIME))
    with served(line.bench, AT_A_TIME):
        assert disturbed(replace(line, program=HASTY), units, "fdatasync", KILL, 2)
        subprocess.run(line.station(units), check=False, capture_output=True)
    wrong = disagreements(line, finished=True)
    print(*wrong, sep="\n")
    assert any("acknowledged with a receipt, and not in the ledger" in one for one in wrong)
