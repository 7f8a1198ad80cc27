"""``imprint doctor`` on good and broken workspaces."""

import os
import shlex
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from command_line import CommandLine, Ended, copied
from imprint.cli import doctor
from imprint.cli.finding import Status
from imprint.cli.machine_checks import (
    LEAST_FREE,
    LITTLE_FREE,
    check_clock,
    check_disk,
    check_judge,
    check_libraries,
    check_ports,
    check_python,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def statuses(ended: Ended) -> dict[str, str]:
    return {row["check"]: row["status"] for row in ended.result["checks"]}


def row(ended: Ended, check: str) -> dict[str, str]:
    return next(found for found in ended.result["checks"] if found["check"] == check)


def test_a_good_workspace(imprint: CommandLine) -> None:
    found = imprint("doctor", "--json")
    warned = {check for check, status in statuses(found).items() if status != "ok"}
    assert warned <= {"root key", "checkpoint copy", "serial ports", "disk"}
    assert {"root key", "checkpoint copy"} <= warned
    assert f"Fit for work; warnings: {len(warned)}" in imprint("doctor").err


def test_what_was_warned_of_can_be_put_right(imprint: CommandLine, tmp_path: Path) -> None:
    shutil.move(imprint.workspace / "root", tmp_path / "vault")
    settings = imprint.workspace / "imprint.toml"
    settings.write_text(settings.read_text() + f'\ncheckpoint-copy = "{tmp_path}/checkpoint"\n')
    shutil.copy(imprint.workspace / "ledger" / "checkpoint", tmp_path / "checkpoint")
    imprint.decide("ledger", "checkpoint")
    found = statuses(imprint("doctor", "--json"))
    assert (found["root key"], found["checkpoint copy"]) == ("ok", "ok")


def test_without_a_workspace_the_machine_is_checked(imprint: CommandLine) -> None:
    found = imprint("-C", ".", "doctor", "--json")
    assert "permissions" not in statuses(found)
    assert row(found, "workspace")["found"].startswith("none selected")


def test_a_workspace_that_was_named_must_be_one(imprint: CommandLine) -> None:
    found = imprint("-C", "nowhere", "doctor", "--json", code=6)
    assert statuses(found)["settings"] == "fail"
    assert found.error["what"] == "failed: settings"


@pytest.mark.parametrize("name", ["keys/firmware.pem", "root/root.pem", "imprint.db"])
def test_a_private_file_that_others_may_read(imprint: CommandLine, name: str) -> None:
    (imprint.workspace / name).chmod(0o640)
    found = row(imprint("doctor", "--json", code=6), "permissions")
    assert found["status"] == "fail"
    assert name in found["found"]
    subprocess.run(shlex.split(found["next_step"]), check=True)
    for beside in imprint.workspace.glob("imprint.db-*"):  # SQLite gives them the database's bits when it makes them
        beside.unlink()
    assert statuses(imprint("doctor", "--json"))["permissions"] == "ok"


def test_a_folder_that_others_may_enter(imprint: CommandLine) -> None:
    imprint.workspace.chmod(0o755)
    assert row(imprint("doctor", "--json"), "permissions")["status"] == "warn"


def test_a_database_that_was_put_back(imprint: CommandLine, tmp_path: Path) -> None:
    shutil.copy(imprint.workspace / "imprint.db", tmp_path / "yesterday.db")
    imprint.decide("unit", "clear", "SN-0003", "--reason", "found it")
    (imprint.workspace / "imprint.db").write_bytes((tmp_path / "yesterday.db").read_bytes())
    found = row(imprint("doctor", "--json", code=6), "database and checkpoint")
    assert found["status"] == "fail"
    assert "an older copy" in found["found"]


def test_entries_that_no_checkpoint_covers(imprint: CommandLine, tmp_path: Path) -> None:
    earlier = copied(imprint.workspace / "ledger", tmp_path / "ledger")
    imprint.decide("unit", "clear", "SN-0003", "--reason", "found it")
    shutil.rmtree(imprint.workspace / "ledger")
    shutil.copytree(earlier, imprint.workspace / "ledger")
    found = row(imprint("doctor", "--json"), "database and checkpoint")
    assert (found["status"], found["found"][:2]) == ("warn", "1 ")
    imprint.decide("ledger", "checkpoint")
    assert statuses(imprint("doctor", "--json"))["database and checkpoint"] == "ok"


def test_a_clock_before_the_last_decision(imprint: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "system_clock", lambda: datetime.now(UTC) - timedelta(days=1))
    found = imprint("doctor", "--json", code=6)
    assert statuses(found)["clock and ledger"] == "fail"


def test_cas_that_come_to_their_end(imprint: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    for years, status in ((0, "ok"), (19.5, "warn"), (21, "fail")):
        later = datetime.now(UTC) + timedelta(days=365.25 * years)
        monkeypatch.setattr(doctor, "system_clock", lambda later=later: later)
        found = imprint("doctor", "--json", code=6 if status == "fail" else 0)
        assert statuses(found)["CA certificates"] == status


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "database"),
        ("DROP TABLE alembic_version", "database"),
        ("UPDATE entries SET opening = x'00'", "clock and ledger"),
        ("DELETE FROM entries WHERE seq > 3", "database and checkpoint"),
    ],
)
def test_a_broken_database_fails_one_check(imprint: CommandLine, spoil: str, check: str) -> None:
    imprint.sql(spoil)
    failed = {name for name, status in statuses(imprint("doctor", "--json", code=6)).items() if status == "fail"}
    assert check in failed


def test_certificates_of_two_workspaces(imprint: CommandLine) -> None:
    imprint.decide("init", "other", "--root-passphrase-file", imprint.passphrase_file)
    shutil.copy("other/certs/root.pem", imprint.workspace / "certs" / "root.pem")
    assert statuses(imprint("doctor", "--json", code=6))["CA certificates"] == "fail"


def test_versions() -> None:
    assert check_python((3, 10, 12)).status is Status.FAIL
    assert check_python((3, 14, 0)).status is Status.OK
    bad = check_libraries(["cryptography>=4000", "no-such-library>=1", "rich>=1.0", 'nothing>=9; extra == "dev"'])
    assert bad.status is Status.FAIL
    assert "wanted 4000" in bad.found
    assert "no-such-library is missing" in bad.found
    assert "rich" not in bad.found
    assert check_libraries(["cryptography>=46", "rich>=13.9"]).found == "all 2, new enough"


def test_disk_clock_ports_and_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_space = {free: check_disk(tmp_path, free).status.value for free in (LEAST_FREE - 1, LEAST_FREE, LITTLE_FREE)}
    assert by_space == {LEAST_FREE - 1: "fail", LEAST_FREE: "warn", LITTLE_FREE: "ok"}
    assert check_clock(NOW, NOW + timedelta(minutes=4), "they").status is Status.OK
    assert check_clock(NOW, NOW + timedelta(minutes=6), "they").status is Status.FAIL
    assert check_ports([]).found == "none"
    assert check_ports([str(tmp_path / "gone")]).status is Status.WARN
    assert check_ports([os.devnull]).found == os.devnull
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_judge("openssl").found.startswith("not found")
