"""A line whose newest backup is older than what it had decided: what was lost is declared, and the line goes on."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from line_check import disagreements
from production_line import IMPRINT, LOT, Line, error_of, make_line, run, served, statuses

UNITS = 12
GRANT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A line that was restored from a backup, and what was saved beside: ``lost`` is the workspace as it was."""

    lost: Line
    line: Line

    def reconcile(self, *options: object) -> CompletedProcess[str]:
        return run(self.line.command("ledger", "reconcile", "--json", *map(str, options)))

    def journals(self, *stations: str) -> list[object]:
        return [text for name in stations for text in ("--journal", self.lost.journal(name))]


def rows(line: Line, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{line.workspace}/imprint.db?mode=ro", uri=True)) as database:
        return database.execute(query).fetchall()


def said(done: CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def imprint(line: Line, *arguments: object) -> CompletedProcess[str]:
    return run([*IMPRINT, "-C", str(line.workspace), *map(str, arguments)])


@contextmanager
def a_loss(folder: Path, *, copied: bool = False) -> Iterator[Loss]:
    """Two units before the backup; after it one more of the same station and two of another, and one is revoked."""
    line = make_line(folder / "first", count=GRANT)
    if copied:
        copy = folder / "elsewhere"
        settings = line.workspace / "imprint.toml"
        settings.write_text(settings.read_text().replace("# checkpoint-copy", f'checkpoint-copy = "{copy}"\n#'))
        shutil.copy(line.workspace / "ledger" / "checkpoint", copy)
    with served(line.bench, UNITS):
        assert statuses(run(line.station([0, 1]))) == ["complete"] * 2
        assert imprint(line, "backup", folder / "backup").returncode == 0
        assert statuses(run(line.station([2]))) == ["complete"]
        assert statuses(run(line.station([3, 4], name="bench-2"))) == ["complete"] * 2
        assert (
            run(line.command("unit", "revoke", "SN-000003", "--reason", "keyCompromise", "--note", "x")).returncode == 0
        )
        assert run(line.command("crl", "sign")).returncode == 0
        second = Line(folder=folder / "second")
        second.folder.mkdir()
        for name in ("passphrase", "V"):
            (second.folder / name).symlink_to(line.folder / name)
        checkpoint = [] if copied else ["--checkpoint", line.workspace / "ledger" / "checkpoint"]
        assert imprint(line, "restore", folder / "backup", second.workspace, *checkpoint).returncode == 0
        yield Loss(lost=line, line=second)


IDENTITIES = "SELECT serial, hardware_id, public_key, number, certificate, record FROM units WHERE state = 'complete' "


def test_a_line_goes_on(tmp_path: Path) -> None:
    with a_loss(tmp_path) as loss:
        line, crl = loss.line, loss.lost.workspace / "certs" / "crl.pem"
        refused = error_of(run(line.station([5])))
        assert "imprint ledger reconcile" in refused["next_step"]
        known = rows(loss.lost, IDENTITIES)

        missing = error_of(loss.reconcile(*loss.journals("bench-2")))
        assert (missing["exit_code"], missing["what"]) == (4, "the journals of bench-1 are missing")
        unsaid = error_of(loss.reconcile(*loss.journals("bench-1", "bench-2"), "--crl", crl))
        assert (unsaid["exit_code"], "--no-other-station" in unsaid["next_step"]) == (4, True)
        before = rows(line, "SELECT count(*) FROM entries")
        drafted = said(
            loss.reconcile(*loss.journals("bench-1", "bench-2"), "--no-other-station", "--crl", crl, "--dry-run")
        )
        assert (drafted["decided"], rows(line, "SELECT count(*) FROM entries")) == (False, before)
        done = said(loss.reconcile(*loss.journals("bench-1", "bench-2"), "--no-other-station", "--crl", crl))
        assert (done["decided"], done["units"], done["not_shown"]) == (True, drafted["units"], 2)
        assert sorted(rows(line, IDENTITIES)) == sorted(known)

        again = run(line.station(range(2, UNITS)))
        assert statuses(again).count("complete") == GRANT - len(known)
        assert set(statuses(again)[:3]) == {"refused"}  # made in the lost time, and not made twice
        made = rows(line, IDENTITIES)
        assert len(made) == GRANT
        for column in range(len(made[0])):
            assert len({row[column] for row in made}) == GRANT
        assert set(known) <= set(made)

        assert disagreements(line, finished=True) == []
        the_ledgers_hold(loss, tmp_path)
        assert "nothing is missing" in error_of(loss.reconcile(*loss.journals("bench-1", "bench-2")))["what"]


def the_ledgers_hold(loss: Loss, folder: Path) -> None:
    """The new one, the old one, and what was exported under each."""
    line, export = loss.line, folder / "export"
    assert run(line.command("lot", "close", LOT)).returncode == 0
    assert run(line.command("crl", "sign")).returncode == 0
    assert imprint(line, "ledger", "verify").returncode == 0
    assert imprint(line, "lot", "export", LOT, export).returncode == 0
    for where in ((), ("--export", export)):
        verified = said(imprint(line, "record", "verify", "--json", *where))
        assert len(verified["records"]) == GRANT
        assert [one["serial"] for one in verified["records"] if one["revoked"]] == ["SN-000003"]
    ca, root = export / "ca.pem", export / "root.pem"
    for unit in (export / "units").iterdir():
        judged = run(["openssl", "verify", "-CAfile", str(root), "-untrusted", str(ca), str(unit / "cert.pem")])
        assert judged.returncode == 0, judged.stderr
    proof = folder / "first.tlog-proof"
    assert imprint(loss.lost, "ledger", "prove", "3", "--out", proof).returncode == 0
    old_key = line.workspace / "ledger-1" / "vkey"
    assert imprint(line, "ledger", "check-proof", proof, "--vkey", old_key).returncode == 0
    assert imprint(line, "ledger", "check-proof", proof).returncode == 10  # it is another log's
    listed = said(imprint(line, "ledger", "list", "--from", "14", "--count", "1", "--json"))["entries"][0]
    checkpoint = (loss.lost.workspace / "ledger" / "checkpoint").read_text().splitlines()
    assert (listed["type"], checkpoint[0] in listed["body"]) == ("ledger.reconciled", True)
    backup = folder / "of the next"
    assert imprint(line, "backup", backup).returncode == 0
    assert (backup / "ledger-1" / "checkpoint").exists()


def test_a_lost_journal_stops_the_lot(tmp_path: Path) -> None:
    with a_loss(tmp_path, copied=True) as loss:
        line, copy = loss.line, tmp_path / "elsewhere"
        lost = rows(loss.lost, "SELECT serial FROM units WHERE station = 'bench-2'")
        known = copy.read_bytes()
        done = said(loss.reconcile(*loss.journals("bench-1"), "--lost-journal", "bench-2"))
        assert [one["granted"] for one in done["lots_stopped"]] == [3]
        assert (line.workspace / "ledger-1" / "checkpoint-copy").read_bytes() == known
        assert copy.read_bytes() == (line.workspace / "ledger" / "checkpoint").read_bytes()
        assert set(statuses(run(line.station(range(5, UNITS))))) == {"refused"}
        new_lot = ("--product", "lamp", "--count", "3", "--release", "1.0.0", "--diagnostic", "0.9.0")
        assert run(line.command("lot", "create", "L2", *new_lot)).returncode == 0
        command = [text if text != LOT else "L2" for text in line.station([5, 6, 7])]
        assert statuses(run(command)) == ["complete"] * 3
        made = rows(line, "SELECT serial FROM units WHERE lot = 'L2'")
        assert not set(made) & set(lost)
        assert imprint(line, "ledger", "verify").returncode == 0
        old = error_of(run(loss.lost.command("ledger", "checkpoint", "--json")))
        assert old["exit_code"] == 10  # the workspace that was lost does not come back
