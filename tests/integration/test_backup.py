"""Backups of a workspace while a service and stations are at work in it, and what comes of them."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

from line_check import disagreements
from production_line import IMPRINT, Line, error_of, make_line, run, served, statuses
from service_line import serving

UNITS = 24


def backup(line: Line, target: Path) -> dict[str, object]:
    done = run([*IMPRINT, "-C", str(line.workspace), "backup", str(target), "--json"])
    assert done.returncode == 0, done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


def restore(source: Path, target: Path, *options: str) -> dict[str, object]:
    done = run([*IMPRINT, "restore", str(source), str(target), "--json", *options])
    assert done.returncode == 0, done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


def shipped(folder: Path) -> int:
    with closing(sqlite3.connect(f"file:{folder}/imprint.db?mode=ro", uri=True)) as database:
        count: int = database.execute("SELECT shipped FROM lots").fetchone()[0]
    return count


def beside(line: Line, name: str) -> Line:
    """A place for another workspace of the same line."""
    other = Line(folder=line.folder / name)
    other.folder.mkdir()
    other.passphrase_file.symlink_to(line.passphrase_file)
    other.bench.symlink_to(line.bench)
    return other


def remote_station(line: Line, folder: Path, units: Sequence[int]) -> list[str]:
    """As :meth:`Line.station`, of a station that enrolled in ``folder``."""
    fixtures = [text for unit in units for text in ("--fixture", f"{line.bench}/{unit}")]
    passphrase = ("--passphrase-file", str(line.passphrase_file))
    return [*IMPRINT, "-C", str(folder), "station", "run", "--lot", "L1", "--json", *fixtures, *passphrase]


def backups_of_a_shift(line: Line) -> list[Path]:
    """A service, a station that asks it and a station in the workspace make all units, under backups; then one more."""
    copies: list[Path] = []
    with serving(line) as service:
        folder = service.enrol("bench-2")
        halves = [range(0, UNITS, 2), range(1, UNITS, 2)]
        commands = [line.station(halves[0]), remote_station(line, folder, halves[1])]
        stations = [Popen([*each, "--at-once", "2"], stdout=PIPE, stderr=DEVNULL, text=True) for each in commands]
        while any(each.poll() is None for each in stations) or not copies:
            copies.append(line.folder / f"copy-{len(copies)}" / "W")
            assert backup(line, copies[-1])["not_copied"] == []
        ended = [json.loads(each.communicate()[0].splitlines()[-1]) for each in stations]
        assert {unit["status"] for each in ended for unit in each["units"]} == {"complete"}
        copies.append(line.folder / "last" / "W")
        backup(line, copies[-1])
    return copies


def test_a_line_at_work_and_the_way_back(tmp_path: Path) -> None:
    line = make_line(tmp_path, count=UNITS)
    with served(line.bench, UNITS):
        copies = backups_of_a_shift(line)
        at_work = [copy for copy in copies if 0 < shipped(copy) < UNITS]
        assert at_work, "backups that hit nothing prove nothing"
        for copy in copies:
            assert disagreements(Line(folder=copy.parent), finished=False) == []
            assert run([*IMPRINT, "-C", str(copy), "ledger", "verify"]).returncode == 0
        checkpoint = ("--checkpoint", str(line.workspace / "ledger" / "checkpoint"))

        older = beside(line, "older")
        said = restore(at_work[0], older.workspace, *checkpoint)
        assert said["decides"] is False
        assert "(missing: " in str(said["reason"])
        decides_nothing(older)

        again = beside(line, "again")
        assert restore(copies[-1], again.workspace, *checkpoint)["decides"] is True
        assert disagreements(again, finished=True) == []
        assert set(statuses(run(again.station(range(0, UNITS, 2))))) == {"already-complete"}
        assert run(again.command("lot", "close", "L1")).returncode == 0
        assert run([*IMPRINT, "-C", str(again.workspace), "ledger", "verify"]).returncode == 0


def decides_nothing(line: Line) -> None:
    """And can be read and verified."""
    for command in (
        line.station([0]),
        line.command("serve", "--listen", "127.0.0.1:0", "--enrol", "127.0.0.1:0", "--json"),
        line.command("lot", "close", "L1", "--json"),
        line.command("ledger", "checkpoint", "--json"),
    ):
        error = error_of(run(command))
        assert (error["exit_code"], error["subject"]) == (10, "database"), error
        assert "(missing: " in error["what"]
        assert "Find the newer database" in error["next_step"]
    verified = error_of(run([*IMPRINT, "-C", str(line.workspace), "ledger", "verify", "--json"]))
    assert "all that is here is whole, but it is an older copy" in verified["what"]
    for reading in (("lot", "report", "L1"), ("ledger", "list"), ("product", "list")):
        assert run([*IMPRINT, "-C", str(line.workspace), *reading]).returncode == 0


def test_what_people_are_told(tmp_path: Path) -> None:
    line = make_line(tmp_path, count=1)
    for path in (line.workspace / "root").iterdir():
        path.rename(tmp_path / path.name)
    done = run([*IMPRINT, "-C", str(line.workspace), "backup", str(tmp_path / "backup")])
    assert "root CA's key (not in the workspace)" in done.stdout
    assert "Next, when it is needed: imprint restore" in done.stderr
    done = run([*IMPRINT, "restore", str(tmp_path / "backup"), str(tmp_path / "new")])
    assert "Nothing outside the backup says whether it is the newest" in done.stderr
    checkpoint = str(line.workspace / "ledger" / "checkpoint")
    done = run([*IMPRINT, "restore", str(tmp_path / "backup"), str(tmp_path / "newer"), "--checkpoint", checkpoint])
    assert "Nothing outside" not in done.stderr
    database = tmp_path / "backup" / "imprint.db"
    data = bytearray(database.read_bytes())
    data[len(data) // 2] ^= 1
    database.write_bytes(data)
    error = error_of(run([*IMPRINT, "restore", str(tmp_path / "backup"), str(tmp_path / "third"), "--json"]))
    assert (error["exit_code"], error["subject"]) == (3, str(database))
    assert not (tmp_path / "third").exists()
