"""Boards that start again: real runs on virtual units that are fused and locked already, judged by openssl."""

import asyncio
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from station_line import LOT, authority, run_line, virtual_units

from command_line import CommandLine
from imprint.assemble import Platform
from imprint.authority.decisions.changes import Row
from imprint.cli.crl import sign_crl
from imprint.formats.crl import Reason
from imprint.formats.x509 import certificate_pem
from imprint.protocol.commands import RevokeUnit, ReworkUnit
from imprint.reader import open_reader
from imprint.station.fixture import Fixture
from imprint.station.journal import Journal, open_journal
from imprint.station.run_event import RunOutcome, Status
from imprint.verify_ledger import verify_ledger

SERIAL = "SN-000001"


def run(platform: Platform, journal: Journal, unit: dict[str, Any]) -> RunOutcome:
    """The station's one call for one board."""
    fixture = Fixture(name=str(unit["unit"]), port=unit["port"])
    (outcome,) = asyncio.run(run_line(platform, journal, [fixture]))
    return outcome


def rework(platform: Platform, serial: str = SERIAL) -> None:
    assert platform.command(ReworkUnit(serial=serial, reason="antenna replaced")) == "rework"


def epochs(platform: Platform) -> list[Row]:
    with platform.reader.store.reading() as store:
        return store.find("units")


def openssl_verdict(folder: Path, platform: Platform, row: Row) -> str:
    with platform.reader.store.reading() as store:
        (folder / "unit.pem").write_bytes(certificate_pem(store.blob(row["certificate"])))
    certs = folder / "W" / "certs"
    chain = f"-CAfile {certs}/root.pem -untrusted {certs}/ca.pem -CRLfile {certs}/crl.pem".split()
    command = ["openssl", "verify", "-x509_strict", "-crl_check", *chain, str(folder / "unit.pem")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "OK" if done.returncode == 0 else done.stderr


@pytest.mark.parametrize("algorithm", ["p256", "ed25519"])
def test_a_fused_and_locked_board_starts_again(tmp_path: Path, algorithm: str, imprint: CommandLine) -> None:
    """At the station that completed it, whose journal says so: with another certificate it is complete again."""
    with (
        virtual_units(tmp_path / "V", 1) as units,
        authority(tmp_path / "W", count=1, algorithm=algorithm) as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        assert run(platform, journal, units[0]).status is Status.COMPLETE
        first = journal.history.identity(units[0]["hardware_id"])
        assert run(platform, journal, units[0]).status is Status.ALREADY_COMPLETE
        rework(platform)
        outcome = run(platform, journal, units[0])
        assert (outcome.status, outcome.serial) == (Status.COMPLETE, SERIAL), outcome.message
        second = journal.history.identity(units[0]["hardware_id"])
        assert second not in (None, first)
        assert run(platform, journal, units[0]).status is Status.ALREADY_COMPLETE
        old, new = epochs(platform)
        assert [(row["state"], row["serial"]) for row in (old, new)] == [("superseded", SERIAL), ("complete", SERIAL)]
        assert old["public_key"] == new["public_key"], "the key was there, and stays"
        assert not new["contested"]
        sign_crl(platform, platform.reader.workspace.crl, days=7)
        assert "certificate revoked" in openssl_verdict(tmp_path, platform, old)
        assert openssl_verdict(tmp_path, platform, new) == "OK"
        shutil.rmtree(imprint.workspace)
        imprint.workspace.symlink_to(tmp_path / "W")
        verified = imprint("unit", "verify", "--port", units[0]["port"], "--json").result
        assert all(row["same"] for row in verified["checks"])
        (wanted,) = (row["record"] for row in verified["checks"] if row["claim"] == "certificate")
        assert wanted == new["certificate"]
    verify_ledger(open_reader(tmp_path / "W"))


def test_a_board_starts_again_at_another_station(tmp_path: Path) -> None:
    with virtual_units(tmp_path / "V", 1) as units, authority(tmp_path / "W", count=1) as platform:
        with open_journal(tmp_path / "one") as journal:
            assert run(platform, journal, units[0]).status is Status.COMPLETE
            rework(platform)
        with open_journal(tmp_path / "other") as journal:
            assert run(platform, journal, units[0]).status is Status.COMPLETE
        with open_journal(tmp_path / "one") as journal:
            assert run(platform, journal, units[0]).status is Status.REFUSED, "it does not know the new identity"


def test_a_board_that_fails_again_waits_in_its_place(tmp_path: Path) -> None:
    """It fails while it has a certificate, so it is quarantined, and again after the rework: nothing is given back."""
    with (
        virtual_units(tmp_path / "V", 2, "--fault", "0=false-lock") as units,
        authority(tmp_path / "W", count=1) as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        assert run(platform, journal, units[0]).status is Status.QUARANTINED
        for _ in range(2):
            rework(platform)
            assert run(platform, journal, units[1]).status is Status.REFUSED, "the place is not for another board"
            assert run(platform, journal, units[0]).status is Status.QUARANTINED
        assert [row["state"] for row in epochs(platform)] == ["superseded", "superseded", "quarantined"]


def test_a_board_that_fails_before_its_certificate_may_be_tried_again(tmp_path: Path) -> None:
    with ExitStack() as stack:
        units = stack.enter_context(virtual_units(tmp_path / "V", 1))
        platform = stack.enter_context(authority(tmp_path / "W", count=1))
        journal = stack.enter_context(open_journal(tmp_path / "j"))
        assert run(platform, journal, units[0]).status is Status.COMPLETE
        rework(platform)
        stack.pop_all().close()
    faulty = ("--fault", "0=self-test")
    with (
        virtual_units(tmp_path / "V", 1, *faulty) as units,
        authority(tmp_path / "W") as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        outcome = run(platform, journal, units[0])
        assert (outcome.status, outcome.step) == (Status.RELEASED, "self-test")
        assert epochs(platform)[-1]["state"] == "rework"
    with (
        virtual_units(tmp_path / "V", 1) as units,
        authority(tmp_path / "W") as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        assert run(platform, journal, units[0]).status is Status.COMPLETE


def test_a_preprovisioned_element_starts_again_without_its_vendors_certificate(tmp_path: Path) -> None:
    """Ours has taken its place in the element; the vendor's word was checked in the first epoch."""
    with virtual_units(tmp_path / "V", 1, "--preprovisioned", str(tmp_path / "vendor")) as units:
        root = load_pem_x509_certificate((tmp_path / "vendor" / "vendor-root.pem").read_bytes())
        with (
            authority(tmp_path / "W", vendor_root=root.public_bytes(Encoding.DER)) as platform,
            open_journal(tmp_path / "j") as journal,
        ):
            assert run(platform, journal, units[0]).status is Status.COMPLETE
            rework(platform)
            outcome = run(platform, journal, units[0])
            assert outcome.status is Status.COMPLETE, outcome.message


def test_a_revoked_board_is_not_taken_for_complete(tmp_path: Path) -> None:
    with (
        virtual_units(tmp_path / "V", 1) as units,
        authority(tmp_path / "W") as platform,
        open_journal(tmp_path / "j") as journal,
    ):
        assert run(platform, journal, units[0]).status is Status.COMPLETE
        platform.command(RevokeUnit(serial=SERIAL, reason=Reason.KEY_COMPROMISE, note="read out"))
        outcome = run(platform, journal, units[0])
        assert (outcome.status, outcome.step) == (Status.REFUSED, "claim")
        assert "its certificate is revoked" in outcome.message
        rework(platform)
        outcome = run(platform, journal, units[0])
        assert (outcome.status, outcome.step) == (Status.RELEASED, "certify")
        assert "revoked as compromised" in outcome.message
        with platform.reader.store.reading() as store:
            (lot,) = store.find("lots", lot=LOT)
        assert (lot["in_work"], lot["shipped"]) == (1, 0)
        assert not epochs(platform)[-1]["contested"]
