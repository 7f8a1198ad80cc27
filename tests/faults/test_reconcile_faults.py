"""A reconciliation that is killed: not begun, or begun, and then nothing is decided until the next run finishes it."""

import json
import shutil
from pathlib import Path

import pytest
from test_backup_faults import calls

from line_check import disagreements
from production_line import IMPRINT, LONG, Line, error_of, make_line, run, served, statuses

CALLS = ("fsync", "fdatasync", "rename", "mkdir")


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a line whose last unit is not in its backup; not to be changed. ``W`` is restored from it, and
    ``checkpoint`` is kept elsewhere."""
    folder = tmp_path_factory.mktemp("lost")
    line = make_line(folder, count=3)
    settings = line.workspace / "imprint.toml"
    settings.write_text(settings.read_text().replace("# checkpoint-copy", 'checkpoint-copy = "../checkpoint"\n#'))
    shutil.copy(line.workspace / "ledger" / "checkpoint", folder / "checkpoint")
    with served(line.bench, 2):
        assert statuses(run(line.station([0]))) == ["complete"]
        assert run([*IMPRINT, "-C", str(line.workspace), "backup", str(folder / "backup")]).returncode == 0
        assert statuses(run(line.station([1]))) == ["complete"]
    line.workspace.rename(folder / "gone")
    restored = run([*IMPRINT, "restore", str(folder / "backup"), str(line.workspace), "--json"])
    assert json.loads(restored.stdout)["decides"] is False
    return folder


def copied(lost: Path, folder: Path) -> Line:
    line = Line(folder=folder)
    folder.mkdir()
    shutil.copytree(lost / "W", line.workspace)
    shutil.copytree(lost / "V", line.bench)
    for name in ("checkpoint", "passphrase"):
        shutil.copy(lost / name, folder / name)
    return line


def reconciling(line: Line, lost: Path) -> list[str]:
    journals = ("--journal", str(lost / "gone" / "station" / "bench-1.journal"))
    return line.command("ledger", "reconcile", "--json", *journals)


@pytest.mark.parametrize("call", CALLS)
def test_killed_at_any_time(lost: Path, tmp_path: Path, call: str) -> None:
    """At every call of its kind in the long form, at some in the short one; the last ones always."""
    whole, trace = copied(lost, tmp_path / "whole"), tmp_path / "trace"
    done = run(["strace", "-f", "-o", str(trace), "-e", f"trace={call}", *reconciling(whole, lost)])
    assert done.returncode == 0, done.stderr
    count = calls(trace)
    moments = range(1, count + 1) if LONG else {1, count // 2 or 1, max(1, count - 1), count}
    ends = set()
    for number in sorted(moments):
        line = copied(lost, tmp_path / f"{number}")
        inject = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}"]
        if run([*inject, *reconciling(line, lost)]).returncode == 0:
            continue  # the database syncs once less at times
        ends.add(went_on(line, lost))
        assert disagreements(line, finished=True) == []
        shutil.rmtree(line.folder)
    assert count == 0 or ends, "a call that is never made proves nothing"


def went_on(line: Line, lost: Path) -> str:
    """Run again what was killed, and see that it ends as it should: where it was when it was killed."""
    decides = run(line.command("ledger", "checkpoint", "--json"))
    if decides.returncode == 0:
        where = "over"
    else:
        assert error_of(decides)["exit_code"] in (6, 10)
        again = run(reconciling(line, lost))
        assert again.returncode == 0, again.stderr
        where = "begun" if "entries_kept" not in json.loads(again.stdout) else "not begun"
    assert run(line.command("ledger", "checkpoint", "--json")).returncode == 0
    assert (line.workspace / "ledger-1" / "checkpoint-copy").read_bytes() == (lost / "checkpoint").read_bytes()
    return where
