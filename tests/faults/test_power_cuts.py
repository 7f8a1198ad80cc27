"""The power goes at any moment of a station's work: what was acknowledged is still there, and nothing else is broken.

The station runs under strace, once; from its trace follows what the disk would hold at each moment (``power_cut.py``),
and that is checked as it is after any other fault. The units are on power of their own. ``IMPRINT_SEED`` repeats the
choice of moments and of the sectors that survive.
"""

import random
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from lax_authority import LAX

from imprint.errors import ImprintError
from imprint.reader import open_reader
from imprint.station.journal import open_journal
from line_check import answered, disagreements
from power_cut import Cut, Disk, restore, traced
from production_line import IMPRINT, LONG, Line, make_line, run, seed_of_today, served, statuses

UNITS = 2
SHARE = 1.0 if LONG else 0.05  # of the moments
ROUNDS = 3 if LONG else 1  # of chance


def cuts(folder: Path, program: tuple[str, ...]) -> Iterator[tuple[Line, Cut, int]]:
    """A line as it would be after each cut; and the number of changes that it had made."""
    line = make_line(folder / "line", count=UNITS)
    disk = Disk.of(line.workspace)
    with served(line.bench, UNITS):
        done = run([*traced(folder / "trace"), *replace(line, program=program).station(range(UNITS))])
    assert set(statuses(done)) == {"complete"}
    seed = seed_of_today()
    print(f"seed {seed}")
    chance = random.Random(seed)
    lines = (folder / "trace").read_text().splitlines()
    for text in lines:
        if not disk.follow(text) or chance.random() > SHARE:
            continue
        for cut in (Cut.NOTHING, Cut.NO_DATABASE, *[Cut.CHANCE] * ROUNDS):
            after = Line(folder=folder / "after")
            restore(disk.after_cut(cut, chance), disk.root, after.workspace)
            yield after, cut, disk.moment
            shutil.rmtree(after.folder)
    kept = {path: bytes(file.now) for path, file in disk.now.items() if file is not None and "-shm" not in path}
    whole = {str(path): path.read_bytes() for path in line.workspace.rglob("*") if path.is_file()}
    assert kept == whole, "the trace accounts for every byte"


def wrong_after(line: Line) -> list[str]:
    """What is wrong with a line that has lost its power."""
    try:
        with closing(sqlite3.connect(line.workspace / "imprint.db")) as database:
            (found,) = database.execute("PRAGMA integrity_check").fetchone()
            wrong = [] if found == "ok" else [f"the database is damaged: {found}"]
            open_reader(line.workspace).refuse_rollback()
            if line.journal().exists():
                with open_journal(line.journal()):
                    pass
            return [*wrong, *disagreements(line, finished=False)]
    except (ImprintError, sqlite3.Error) as problem:
        return [str(problem)]


def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    met: Counter[str] = Counter()
    most = 0
    for line, cut, moment in cuts(tmp_path, IMPRINT):
        assert wrong_after(line) == [], f"at change {moment}: {cut.value}"
        met[cut.value] += 1
        most = max(most, len(answered(line)))
    print(*(f"{number} cuts: {what}" for what, number in met.items()), sep="\n")
    assert most > UNITS, "the check has looked at receipts"


def test_a_database_that_does_not_sync_is_found_out(tmp_path: Path) -> None:
    """The negative control: WAL with synchronous=NORMAL, which no kill can tell from FULL."""
    wrong = [(cut, text) for line, cut, _ in cuts(tmp_path, LAX) for text in wrong_after(line)]
    print(*sorted({text for _, text in wrong})[:4], f"{len(wrong)} in all", sep="\n")
    assert any("acknowledged with a receipt, and not in the ledger" in text for _, text in wrong)
    assert {cut for cut, _ in wrong} >= {Cut.NO_DATABASE}


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        (["1 pwrite64(3<F>, D, 4, 2) = 4"], b"old"),
        (["1 pwrite64(3<F>, D, 4, 2) = 4", "1 fdatasync(3<F>) = 0"], b"olDDDD"),
        (["1 fdatasync(3<F>) = 0", "1 pwrite64(3<F>, D, 4, 2) = 4"], b"old"),
        (["1 fsync(3<F> <unfinished ...>", "2 write(4<F>, D, 4) = 4", "1 <... fsync resumed>) = 0"], b"old"),
        (["1 write(3<F>, D, 4 <unfinished ...>", "1 <... write resumed>) = 4", "2 fsync(4<F>) = 0"], b"oldDDDD"),
        (["1 ftruncate(3<F>, 1) = 0", "1 fsync(3<F>) = 0"], b"o"),
        (["1 ftruncate(3<F>, 1) = -1 EIO", "1 fsync(3<F>) = 0"], b"old"),
        (['1 rename("G", "F") = 0'], b"old"),
        (['1 rename("G", "F") = 0', "1 fsync(5<R>) = 0"], b"new"),
        (['1 unlink("F") = 0', "1 fsync(5<R>) = 0"], None),
    ],
)
def test_what_was_synced_is_there_and_nothing_else(tmp_path: Path, lines: list[str], left: bytes | None) -> None:
    """The disk itself, by hand. ``F`` and ``G`` are files in the folder ``R``."""
    (tmp_path / "F").write_bytes(b"old")
    (tmp_path / "G").write_bytes(b"new")
    disk = Disk.of(tmp_path)
    for text in lines:
        named = re.sub(r'(["<])([FG])([">])', rf"\1{tmp_path}/\2\3", text.replace("<R>", f"<{tmp_path}>"))
        disk.follow(named.replace(" D,", r' "\x44\x44\x44\x44",'))
    assert disk.after_cut(Cut.NOTHING, random.Random(0)).get(str(tmp_path / "F")) == left
