"""``imprint unit``: what is stored of a unit, what an officer may do with it, and whether a board is it."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import station_line
from station_line import authority, run_line, virtual_units

from command_line import LOT, SHIPPED_UNITS, CommandLine
from imprint.assemble import open_platform
from imprint.cli.lot import close_lot, export_lot
from imprint.cli.unit import comparison
from imprint.encoding import sha256
from imprint.errors import UnitFailed
from imprint.formats import mcuboot
from imprint.formats.provisioning_group import DebugLevel, UnitStatement
from imprint.protocol.commands import AddRelease
from imprint.reader import open_reader
from imprint.station.fixture import Fixture
from imprint.station.inspection import Inspected
from imprint.station.journal import open_journal
from imprint.testing.soft_unit import SoftUnit
from imprint.verify_record import exported_certificate, open_record, trust_of_workspace

SCRAP = ("unit", "scrap", "SN-0001", "--reason", "cracked board")


def test_lists_by_lot_and_state(imprint: CommandLine) -> None:
    def serials(*options: str) -> list[str]:
        return [row["serial"] for row in imprint("unit", "list", *options, "--json").result["units"]]

    assert serials() == ["SN-0001", "SN-0002", "SN-0003"]
    assert serials("--state", "quarantined") == ["SN-0003"]
    assert serials("--lot", LOT, "--state", "complete") == ["SN-0001", "SN-0002"]
    assert serials("--lot", "no-such-lot") == []
    assert "'quarantined'" in imprint("unit", "list", "--state", "lost", code=2).err


def test_a_unit_by_either_name(imprint: CommandLine) -> None:
    by_serial = imprint("unit", "show", "SN-0002", "--json").result
    assert imprint("unit", "show", by_serial["hardware_id"], "--json").result == by_serial
    assert (by_serial["state"], by_serial["values"]) == ("complete", {"mac": "02:00:5e:00:00:02"})


@pytest.mark.parametrize("name", ["SN-0009", "a/b", "a\nb", "../../etc/passwd", "%s", ""])
def test_a_unit_that_there_is_not(imprint: CommandLine, name: str) -> None:
    assert imprint("unit", "show", name, "--json", code=4).error["rule"] == "unknown-unit"
    assert len(imprint("unit", "show", name, code=4).err.splitlines()) == 2
    assert imprint.decide("unit", "scrap", name, "--reason", "x", "--json", code=4).error["rule"] == "unknown-unit"


def test_scrapping_revokes_and_keeps_the_place_used(imprint: CommandLine) -> None:
    assert imprint.decide(*SCRAP, "--json").result == {"serial": "SN-0001", "state": "scrapped"}
    shown = imprint("unit", "show", "SN-0001", "--json").result
    assert (shown["state"], shown["revoked"]["reason"]) == ("scrapped", "cessationOfOperation")
    lot = imprint("lot", "show", LOT, "--json").result
    assert (lot["shipped"], lot["scrapped"], lot["unused"]) == (1, 1, 1)
    again = imprint.decide(*SCRAP, "--json", code=4).error
    assert (again["rule"], again["what"]) == ("wrong-state", "unit SN-0001 is scrapped, so it cannot scrap")
    imprint("ledger", "verify")


def test_clearing_frees_a_unit(imprint: CommandLine) -> None:
    cleared = imprint.decide("unit", "clear", "SN-0003", "--reason", "the port was dirty", "--json").result
    assert cleared["state"] == "certified"
    last = imprint("ledger", "list", "--from", 15, "--json").result["entries"][0]
    assert last["type"] == "unit.cleared"
    assert imprint("ledger", "show", 15, "--json").result["private"]["reason"] == "the port was dirty"


def test_a_revoked_certificate_is_told_wherever_the_unit_is_shown(imprint: CommandLine) -> None:
    imprint.decide("lot", "close", LOT)
    revoke = ("unit", "revoke", "SN-0001", "--reason", "keyCompromise", "--note", "stolen", "--json")
    assert imprint.decide(*revoke).result == {"serial": "SN-0001", "certificate": "revoked"}
    assert imprint.decide(*revoke, code=4).error["rule"] == "revoked"
    shown = imprint("unit", "show", "SN-0001", "--json").result
    assert (shown["state"], shown["revoked"]["reason"], shown["revoked"]["note"]) == (
        "complete",
        "keyCompromise",
        "stolen",
    )
    when = shown["revoked"]["time"]
    assert imprint("record", "show", "SN-0001", "--json").result["revoked"] == when
    verified = imprint("record", "verify", "--json").result["records"]
    assert {row["serial"]: row["revoked"] for row in verified} == {"SN-0001": when, "SN-0002": None}
    attention = imprint("lot", "report", LOT, "--json").result["not_simply_shipped"]
    assert {row["serial"]: row["revoked"] for row in attention} == {"SN-0001": True, "SN-0003": False}
    imprint("ledger", "verify")


def test_reasons_for_revoking_are_those_of_the_list(imprint: CommandLine) -> None:
    for word in ("certificateHold", "removeFromCRL", "cACompromise", "stolen"):
        refused = imprint("unit", "revoke", "SN-0001", "--reason", word, code=2)
        assert "'keyCompromise'" in refused.err
    imprint("unit", "revoke", "SN-0001", "--reason", "unspecified", "--note", "", code=3)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_reason_is_a_reason(imprint: CommandLine, reason: str) -> None:
    # No passphrase was given: the reason is read before anybody is asked for one.
    imprint("unit", "scrap", "SN-0001", "--reason", reason, code=3)


def test_the_sum_of_a_closed_lot_stays(imprint: CommandLine) -> None:
    imprint.decide("lot", "close", LOT)
    assert imprint.decide(*SCRAP, "--json", code=4).error["rule"] == "lot-closed"


# --- a board on a port ---


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """A line that has run: unit 0 and 1 are imprinted, unit 2 never was; the lot is closed and exported."""
    folder = tmp_path_factory.mktemp("bench")
    with virtual_units(folder / "V", 3) as units:
        with authority(folder / "W", count=2) as platform, open_journal(folder / "journal") as journal:
            fixtures = [Fixture(name=str(unit["unit"]), port=unit["port"]) for unit in units[:2]]
            asyncio.run(run_line(platform, journal, fixtures))
        shutil.copytree(folder / "W", folder / "open")
        with authority(folder / "W") as platform:
            close_lot(platform, station_line.LOT)
        export_lot(open_reader(folder / "W"), station_line.LOT, folder / "export")
        yield folder, units


@pytest.fixture
def at_bench(imprint: CommandLine, bench: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> CommandLine:
    """The command line in a copy of that line's workspace."""
    shutil.rmtree(imprint.workspace)
    shutil.copytree(bench[0] / "W", imprint.workspace)
    imprint.passphrase_file.write_bytes(station_line.PASSPHRASE)
    return imprint


def test_a_board_is_the_one_in_its_record(at_bench: CommandLine, bench: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, units = bench
    for unit in units[:2]:
        found = at_bench("unit", "verify", "--port", unit["port"], "--json").result
        assert found["hardware_id"] == unit["hardware_id"]
        assert {row["claim"] for row in found["checks"]} >= {
            "certificate",
            "hardware-id",
            "firmware",
            "boot-key",
            "debug",
        }
        assert all(row["same"] for row in found["checks"])
    verify = ("unit", "verify", "--port", units[0]["port"], "--export", folder / "export")
    shutil.rmtree(at_bench.workspace)
    assert at_bench(*verify).err == f"This board is {at_bench(*verify, '--json').result['serial']}\n"


def test_a_revoked_board_is_known_by_the_list_in_the_export(
    at_bench: CommandLine, bench: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder, units = bench
    shutil.copytree(folder / "export", tmp_path / "export")
    verify = ("unit", "verify", "--port", units[0]["port"], "--export", tmp_path / "export", "--json")
    serial = at_bench(*verify).result["serial"]
    at_bench.decide("unit", "revoke", serial, "--reason", "keyCompromise")
    at_bench.decide("crl", "sign")
    at_bench(*verify)
    shutil.copy(at_bench.workspace / "certs" / "crl.pem", tmp_path / "export")
    refused = at_bench(*verify, code=4).error
    assert (refused["rule"], refused["subject"]) == ("revoked", f"unit {serial}")


def test_boards_that_prove_nothing(
    at_bench: CommandLine, bench: tuple[Path, list[dict[str, Any]]], built_export: Path, built_workspace: Path
) -> None:
    _, units = bench
    blank = at_bench("unit", "verify", "--port", units[2]["port"], "--json", code=11).error
    assert "never imprinted" in blank["next_step"]
    at_bench("unit", "verify", "--port", "nowhere", code=11)
    first = ("unit", "verify", "--port", units[0]["port"])
    assert "has the board's certificate" in at_bench(*first, "--export", built_export, code=11).err
    assert at_bench("-C", built_workspace, *first, "--json", code=4).error["rule"] == "unknown-unit"


def test_a_scrapped_board_vouches_for_nothing(at_bench: CommandLine, bench: tuple[Path, list[dict[str, Any]]]) -> None:
    """It still holds its key; what it lacks is a state in which the record counts."""
    folder, units = bench
    shutil.rmtree(at_bench.workspace)
    shutil.copytree(folder / "open", at_bench.workspace)
    verify = ("unit", "verify", "--port", units[0]["port"], "--json")
    serial = at_bench(*verify).result["serial"]
    at_bench.decide("unit", "revoke", serial, "--reason", "privilegeWithdrawn")
    assert "(privilegeWithdrawn), so nothing vouches for it" in at_bench(*verify, code=4).error["what"]
    at_bench.decide("unit", "scrap", serial, "--reason", "came back broken")
    assert at_bench(*verify, code=4).error["what"] == "it is scrapped, so nothing vouches for it"


def test_a_board_that_was_changed_in_the_field(
    at_bench: CommandLine, bench: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """Other firmware, signed by the same key: the unit boots it, and it is not what the record says."""
    folder, units = bench
    with open_platform(folder / "W", lambda: station_line.PASSPHRASE) as platform:
        image = platform.seal(b"another" * 1000, version="1.1.0", security_counter=1)
        platform.command(AddRelease(product="lamp", role="production", image=image))
    (tmp_path / "update.bin").write_bytes(image)
    port = units[1]["port"]
    image_hash = mcuboot.parse(image).image_hash.hex()
    for command in (
        ("image", "upload", str(tmp_path / "update.bin")),
        ("image", "state-write", image_hash),
        ("os", "reset"),
    ):
        smpmgr = [sys.executable, "-m", "smpmgr", "--port", port, *command]
        subprocess.run(smpmgr, check=True, capture_output=True, timeout=60)
    refused = at_bench("unit", "verify", "--port", port, "--json", code=11)
    assert refused.error["what"] == "the board differs from its record in firmware"
    assert {row["claim"] for row in refused.result["checks"] if not row["same"]} == {"firmware"}


# --- a board that lies ---


@contextmanager
def unit_statement(unit: SoftUnit, **lies: Any) -> Iterator[UnitStatement]:
    honest = unit.statement
    unit.statement = replace(honest, **lies)
    try:
        yield unit.statement
    finally:
        unit.statement = honest


def inspected(unit: SoftUnit, nonce: bytes, *, asked: bytes | None = None, probed: str | None = None) -> Inspected:
    encoded, signature = unit.prove(nonce)
    return Inspected(
        certificate=None,
        nonce=asked or nonce,
        statement=UnitStatement.decode(encoded),
        encoded=encoded,
        signature=signature,
        probed=probed,
    )


@pytest.mark.parametrize(
    ("lies", "differing"),
    [
        ({}, set()),
        ({"hw": bytes(8)}, {"hardware-id"}),
        ({"cert": sha256(b"another")}, {"certificate"}),
        ({"cert": b""}, {"certificate"}),
        ({"image": sha256(b"another")}, {"firmware"}),
        ({"boot_key": b""}, {"boot-key"}),
        ({"debug": DebugLevel.OPEN.value}, {"debug"}),
        ({"debug": 9}, {"debug"}),
        ({"security": 1}, {"security counter"}),
        ({"session": 0}, {"session counter"}),
        ({"session": 7, "security": 9}, set()),
    ],
)
def test_each_claim_is_compared(built_workspace: Path, lies: dict[str, Any], differing: set[str]) -> None:
    unit = SHIPPED_UNITS[0]
    reader = open_reader(built_workspace)
    with reader.store.reading() as store:
        row = store.find("units", hardware_id=unit.hardware_id.hex())[0]
        certificate = store.blob(row["certificate"])
        record = open_record(trust_of_workspace(reader), store.blob(row["record"]), certificate)
    with unit_statement(unit, **lies):
        found = inspected(unit, b"n" * 32, probed="locked")
    found.check_signature(certificate)
    assert {check["claim"] for check in comparison(record, found) if not check["same"]} == differing
    opened = comparison(record, replace(found, probed="open"))
    assert {check["claim"] for check in opened if not check["same"]} == {*differing, "debug port"}


def test_a_signature_is_by_the_certified_key_and_over_our_challenge(built_export: Path) -> None:
    certificate = exported_certificate(built_export / "units/SN-0001")
    unit = SHIPPED_UNITS[0]
    inspected(unit, b"n" * 32).check_signature(certificate)
    with pytest.raises(UnitFailed, match="answers another challenge"):
        inspected(unit, b"n" * 32, asked=b"m" * 32).check_signature(certificate)
    clone = SoftUnit(hardware_id=unit.hardware_id)
    clone.statement = unit.statement
    with pytest.raises(UnitFailed, match="does not hold the private key"):
        inspected(clone, b"n" * 32).check_signature(certificate)
