"""Units that fail on the line, each in its own way: nobody else is held up, and what can be finished is finished."""

import subprocess
import time
from collections import Counter
from pathlib import Path

from line_check import disagreements
from production_line import Line, error_of, make_line, run, served, statuses, units_of

GOOD = {"complete", "already-complete"}


def test_units_that_hang_lose_bytes_and_lose_power(tmp_path: Path) -> None:
    line = make_line(tmp_path, count=6)
    faults = ["0=hang=12", "1=drop-bytes=2000", "2=power-loss"]
    with served(line.bench, 6, *faults):
        began = time.monotonic()
        station = subprocess.Popen(line.station(range(6)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(complete(line)) < 3:
            assert time.monotonic() - began < 60, "the good units wait for a bad one"
            assert station.poll() is None
            time.sleep(0.05)
        output, errors = station.communicate(timeout=120)
        done = subprocess.CompletedProcess(station.args, station.returncode, output, errors)
        assert error_of(done)["kind"] == "UnitError"
        seen = statuses(done)
        assert seen[0] == "released"
        assert "no answer" in units_of(done)[0]["message"]
        assert set(seen[3:]) == {"complete"}
        assert set(seen[1:3]) <= {"complete", "released"}
    assert disagreements(line, finished=True) == []
    with served(line.bench, 6):
        later = statuses(run(line.station(range(6))))
        assert set(later[1:]) <= GOOD, "a unit that lost its power is finished later"
    assert disagreements(line, finished=True) == []


def cut_power(folder: Path, bench: subprocess.Popen[str]) -> None:
    """Kill the process behind a bench. Its ports vanish first, as a system takes the names of unplugged ones away: the
    kernel gives a dead terminal's number to the next bench, and a name that still led there would show its units."""
    for port in folder.iterdir():
        if port.is_symlink():
            port.unlink()
    bench.kill()


def complete(line: Line) -> list[str]:
    """Units that hold a locked identity already: the journal says that their runs ended well."""
    journal = line.journal()
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [text for text in lines if '"entry":"run-ended"' in text and '"outcome":"complete"' in text]


def test_all_units_vanish_at_work(tmp_path: Path) -> None:
    """The bench loses its power: the process that serves all units is killed, and started again."""
    line = make_line(tmp_path, count=8)
    with served(line.bench, 8) as bench:
        station = subprocess.Popen(
            line.station(range(8), "--at-once", "3"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while not line.journal().exists() or line.journal().read_bytes().count(b"certified") < 3:
            assert station.poll() is None, station.communicate()
            time.sleep(0.001)
        cut_power(line.bench, bench)
        output, errors = station.communicate(timeout=120)
    done = subprocess.CompletedProcess(station.args, station.returncode, output, errors)
    assert error_of(done)["kind"] == "UnitError"
    assert set(statuses(done)) <= {"complete", "released", "quarantined", "failed"}
    assert disagreements(line, finished=True) == []
    with served(line.bench, 8):
        again = run(line.station(range(8)))
    before, after = statuses(done), statuses(again)
    assert disagreements(line, finished=True) == []
    for was, now, unit in zip(before, after, units_of(again), strict=True):
        if was == "quarantined":
            assert (now, "quarantined" in unit["message"]) == ("refused", True), "an officer decides"
        else:
            assert now in GOOD, unit
    print(Counter(before), Counter(after))
