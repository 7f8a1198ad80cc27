"""``imprint unit``: single units."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.commands import ClearUnit, ScrapUnit
from imprint.authority.production.owner import find_unit
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.workspace_access import deciding, reading, told
from imprint.errors import RefusedError, UnitFailed
from imprint.formats.birth_record import BirthRecord
from imprint.protocol.refusals import Code
from imprint.station.fixture import DEFAULT_BAUD
from imprint.station.inspection import Inspected, inspect_unit
from imprint.verify_record import (
    exported_certificate,
    open_record,
    trust_of_export,
    trust_of_workspace,
    verify_exported_unit,
)

app = typer.Typer(add_completion=False, no_args_is_help=True)

Serial = Annotated[str, typer.Argument(metavar="SERIAL", help="The unit's serial number")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the ledger")]

_SHOWN = ("serial", "hardware_id", "lot", "state", "contested", "station")


@app.command("list")
def list_(
    ctx: typer.Context,
    lot: Annotated[str | None, typer.Option("--lot", metavar="LOT", help="Only of this lot")] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="STATE", help="Only in this state")] = None,
    as_json: Json = False,
) -> None:
    """Units, with where they are in their life.

    Example: imprint unit list --lot 2026-11 --state quarantined
    """
    where = {name: value for name, value in (("lot", lot), ("state", state)) if value is not None}
    with reading(ctx).store.reading() as store:
        rows = [_brief(row) for row in store.find("units", **where)]
    show({"units": sorted(rows, key=lambda row: str(row["serial"]))}, as_json=as_json)


@app.command("show")
def show_(
    ctx: typer.Context,
    unit: Annotated[str, typer.Argument(metavar="SERIAL|HARDWARE-ID", help="Which unit")],
    as_json: Json = False,
) -> None:
    """One unit: all that is stored of it.

    Example: imprint unit show MP-000001
    """
    with reading(ctx).store.reading() as store:
        row = _find(store, unit)
        certificate = store.get("certificates", number=row["number"])
        revoked = certificate["revoked"] if certificate else None
    hidden = ("challenge", "live")
    show({**{k: v for k, v in row.items() if k not in hidden}, "revoked": revoked}, as_json=as_json)


@app.command()
def verify(
    ctx: typer.Context,
    port: Annotated[str, typer.Option("--port", metavar="PORT", help="The serial port of the board")],
    export: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Check against an export, without a workspace")
    ] = None,
    baud: Annotated[int, typer.Option(metavar="RATE", min=1200)] = DEFAULT_BAUD,
    as_json: Json = False,
) -> None:
    """Prove that the board on this port is the one in its record: it signs a fresh challenge with its certified key.

    Example: imprint unit verify --port /dev/ttyUSB0
    """
    inspected = asyncio.run(inspect_unit(port, baud=baud))
    record = _exported_record(export, inspected) if export else _stored_record(ctx, inspected)
    rows = comparison(record, inspected)
    show({"serial": record.serial, "hardware_id": record.hardware_id, "checks": rows}, as_json=as_json)
    bad = [row["claim"] for row in rows if not row["same"]]
    if bad:
        raise UnitFailed(f"the board differs from its record in {', '.join(bad)}", subject=record.serial)
    if not as_json:
        note(f"This board is {record.serial}")


@app.command()
def scrap(
    ctx: typer.Context,
    serial: Serial,
    reason: Reason,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """The unit is destroyed. Its certificate is revoked; its place in the lot stays used.

    Example: imprint unit scrap MP-000007 --reason "cracked board"
    """
    with deciding(ctx, passphrase_file, passphrase_fd) as platform:
        state = platform.command(ScrapUnit(serial=serial, reason=reason))
    show({"serial": serial, "state": state}, as_json=as_json)


@app.command()
def clear(
    ctx: typer.Context,
    serial: Serial,
    reason: Reason,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """You have looked at a contested, quarantined or stuck unit, and free it: whoever holds it may go on with it.

    Example: imprint unit clear MP-000007 --reason "port was dirty, board is the original"
    """
    with deciding(ctx, passphrase_file, passphrase_fd) as platform:
        state = platform.command(ClearUnit(serial=serial, reason=reason))
    show({"serial": serial, "state": state}, as_json=as_json)


def comparison(record: BirthRecord, inspected: Inspected) -> list[dict[str, Any]]:
    """What the record says beside what the unit signed and its debug port showed."""
    boot_key = next((one.value for one in record.evidence if one.claim == "boot-key"), "")
    debug = next((one.value for one in record.evidence if one.claim == "debug"), "")
    statement = inspected.statement
    pairs = [
        ("certificate", record.certificate_sha256, statement.cert.hex(), "unit-signed"),
        ("hardware-id", record.hardware_id, statement.hw.hex(), "unit-signed"),
        ("firmware", record.firmware.image_hash, statement.image.hex(), "unit-signed"),
        ("boot-key", boot_key, statement.boot_key.hex(), "unit-signed"),
        ("debug", debug, inspected.debug, "unit-signed"),
    ]
    if inspected.probed is not None:
        pairs.append(("debug", debug, inspected.probed, "station-observed"))
    return [
        {"claim": claim, "record": wanted, "board": found, "grade": grade, "same": wanted == found}
        for claim, wanted, found, grade in pairs
    ]


def _stored_record(ctx: typer.Context, inspected: Inspected) -> BirthRecord:
    reader = reading(ctx)
    with reader.store.reading() as store:
        row = _find(store, inspected.statement.hw.hex())
        if row["record"] is None:
            raise RefusedError(f"unit {row['serial']} is {row['state']}: it has no record", code=Code.WRONG_STATE)
        envelope, certificate = store.blob(row["record"]), store.blob(row["certificate"])
    record = open_record(trust_of_workspace(reader), envelope, certificate)
    inspected.check_signature(certificate)
    return record


def _exported_record(export: Path, inspected: Inspected) -> BirthRecord:
    trust = trust_of_export(export)
    for folder in sorted((export / "units").glob("*")):
        certificate = exported_certificate(folder)
        if inspected.certificate == certificate:
            record, _ = verify_exported_unit(trust, folder)
            inspected.check_signature(certificate)
            return record
    raise UnitFailed("no unit of this export has the board's certificate", subject=str(export))


def _find(store: Reading, name: str) -> Row:
    by_hardware = store.find("units", hardware_id=name)
    return by_hardware[-1] if by_hardware else told(lambda: find_unit(store, name))


def _brief(row: Row) -> dict[str, Any]:
    return {**{name: row[name] for name in _SHOWN}, "contested": bool(row["contested"])}
