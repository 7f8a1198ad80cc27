"""A backup, or a restoring, that is killed, finds no room or may not write: whole or absent, and told clearly."""

import os
from pathlib import Path

import pytest
from test_disk import can_mount, small_disk, without_privilege

from imprint.restore_backup import read_manifest
from imprint.storage.files import hash_file
from production_line import IMPRINT, LONG, Line, error_of, litter, make_line, run


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Not to be changed."""
    return make_line(tmp_path_factory.mktemp("line"), count=2)


def backing_up(line: Line, target: Path) -> list[str]:
    return [*IMPRINT, "-C", str(line.workspace), "backup", str(target), "--json"]


def calls(trace: Path) -> int:
    return sum(" = " in text for text in trace.read_text().splitlines())


@pytest.mark.parametrize("call", ["fsync", "fdatasync", "rename", "mkdir"])
@pytest.mark.parametrize("noun", ["backup", "restore"])
def test_killed_at_any_time(line: Line, tmp_path: Path, noun: str, call: str) -> None:
    """At every call of its kind in the long form, at some in the short one; the last ones always."""
    source = tmp_path / "source"
    assert run(backing_up(line, source)).returncode == 0
    names = {file.path: (file.size, file.sha256) for file in read_manifest(source).files}

    def command(target: Path) -> list[str]:
        return backing_up(line, target) if noun == "backup" else [*IMPRINT, "restore", str(source), str(target)]

    trace = tmp_path / "trace"
    assert run(["strace", "-f", "-o", str(trace), "-e", f"trace={call}", *command(tmp_path / "whole")]).returncode == 0
    count = calls(trace)
    assert count
    moments = set(range(1, count + 1)) if LONG else {1, count // 2 or 1, max(1, count - 1), count}
    appeared = 0
    for number in sorted(moments):
        target = tmp_path / f"{number}"
        inject = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}"]
        assert run([*inject, *command(target)]).returncode != 0
        if not target.exists():
            continue
        appeared += 1
        for name, wanted in names.items():  # two copies of one database are the same to their reader, not to the byte
            assert name == "imprint.db" or hash_file(target / name) == wanted
        assert run([*IMPRINT, "-C", str(target), "ledger", "verify"]).returncode == 0
    if call in ("fsync", "rename"):
        assert appeared == (call == "fsync"), "only what comes after the last rename leaves a target, and it is whole"


@pytest.mark.skipif(not can_mount(), reason="only root can mount a small disk")
@pytest.mark.parametrize("room", [0, 20_000, 100_000])
def test_the_disk_is_full(line: Line, tmp_path: Path, room: int) -> None:
    with small_disk(tmp_path / "disk") as disk:
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "filler").write_bytes(b"\0" * (free - room))
        error = error_of(run(backing_up(line, disk / "backup")))
        assert error["exit_code"] == 9
        assert "Free some" in error["next_step"]
        assert [path.name for path in disk.iterdir()] == ["filler"]


def test_a_target_that_cannot_be_written(line: Line, tmp_path: Path) -> None:
    (target := tmp_path / "disk").mkdir(mode=0o500)
    error = error_of(run([*without_privilege(), *backing_up(line, target / "backup")]))
    assert error["exit_code"] == 9
    assert "ermissions" in error["next_step"]
    assert list(target.iterdir()) == []
    assert litter(line.workspace) == []
