"""A disk that is full or cannot be written, and a passphrase that is wrong: told clearly, and nothing is lost."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from line_check import disagreements
from production_line import Line, error_of, litter, make_line, run, served, statuses, units_of

GOOD = {"complete", "already-complete"}
MEGABYTE = 1 << 20


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 3 MiB at ``folder``."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount() -> bool:
    """Whether this user may mount; a user namespace would need the same of the virtual units' process."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="only root can mount a small disk")
@pytest.mark.parametrize("room", [0, 60_000, 200_000])
def test_the_disk_fills(tmp_path: Path, room: int) -> None:
    with small_disk(tmp_path / "disk") as disk:
        line = make_line(disk, count=6)
        line.bench.symlink_to(tmp_path / "V")  # the units are not on the authority's disk
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        filler = disk / "filler"
        filler.write_bytes(b"\0" * (free - room))
        with served(tmp_path / "V", 6):
            done = run(line.station(range(6)))
            assert error_of(done)["exit_code"] in {9, 11}
            assert "Free some" in done.stderr + done.stdout
            assert litter(line.workspace) == []
            filler.unlink()
            again = run(line.station(range(6)))
            assert set(statuses(again)) <= GOOD, again.stderr
        assert disagreements(line, finished=True) == []


def test_the_database_fills_while_the_station_works(tmp_path: Path) -> None:
    """From one write on, the kernel has no room for the database."""
    line = make_line(tmp_path, count=3)
    inject = ["strace", "-f", "-o", "/dev/null", "-e", "inject=pwrite64:error=ENOSPC:when=100+"]
    with served(line.bench, 3):
        done = run([*inject, *line.station(range(3))])
        assert error_of(done)["exit_code"] == 11
        assert "interrupted" in statuses(done)
        told = [unit["message"] for unit in units_of(done) if unit["status"] == "interrupted"]
        assert all("disk is full. Free some disk space" in message for message in told), told
        assert set(statuses(run(line.station(range(3))))) <= GOOD
    assert disagreements(line, finished=True) == []


@pytest.mark.parametrize("part", [".", "station", "ledger"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, part: str) -> None:
    line = make_line(tmp_path, count=2)
    folder = line.workspace / part
    before = contents(line)
    folder.chmod(0o500)
    with served(line.bench, 2):
        done = run([*without_privilege(), *line.station(range(2))])
        error = error_of(done)
        told = f"{error} {[unit['message'] for unit in units_of(done)] if done.stdout else ''}"
        assert error["kind"] in {"StorageError", "UnitError"}, error
        assert any(words in told for words in ("permission", "ermissions", "writable", "may write")), told
        assert litter(line.workspace) == []
        folder.chmod(0o700)
        if part == "station":
            assert contents(line) == before, "nothing was begun"
        assert set(statuses(run(line.station(range(2))))) <= GOOD
    assert disagreements(line, finished=True) == []


def without_privilege() -> list[str]:
    """Root may write anywhere; without this capability it may not."""
    drop = "-dac_override"
    return ["setpriv", f"--inh-caps={drop}", f"--bounding-set={drop}"] if os.geteuid() == 0 else []


def contents(line: Line) -> dict[str, bytes]:
    """All files of the workspace but SQLite's own notes about the database."""
    return {
        str(path): path.read_bytes()
        for path in line.workspace.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def test_a_wrong_passphrase_changes_nothing(tmp_path: Path) -> None:
    line = make_line(tmp_path, count=1)
    before = contents(line)
    line.passphrase_file.write_bytes(b"seven herons crossed the wier\n")
    with served(line.bench, 1):
        done = run(line.station([0]))
    error = error_of(done)
    assert (error["kind"], error["exit_code"]) == ("PassphraseError", 7)
    assert error["next_step"]
    assert "herons" not in done.stderr
    assert contents(line) == before
    assert disagreements(line, finished=True) == []
