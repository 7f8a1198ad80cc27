"""``imprint unit``: single units."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.life_cycle import State
from imprint.authority.production.named_unit import find_unit
from imprint.authority.production.revocation import find_revocation
from imprint.authority.views import brief_unit
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.reason import Reason, checked_reason
from imprint.cli.workspace_access import asking, reading, show_decided, told, viewing
from imprint.clock import to_text
from imprint.errors import RefusedError, UnitFailed
from imprint.formats.birth_record import BirthRecord
from imprint.formats.crl import Reason as RevocationReason
from imprint.protocol.commands import ClearUnit, RevokeUnit, ReworkUnit, ScrapUnit
from imprint.protocol.evidence import Grade
from imprint.protocol.person_port import View
from imprint.protocol.refusals import Code
from imprint.station.fixture import DEFAULT_BAUD
from imprint.station.inspection import Inspected, inspect_unit
from imprint.verify_record import (
    crl_of_export,
    exported_certificate,
    open_record,
    releases_of_export,
    revoked_in,
    trust_of_export,
    trust_of_workspace,
    verify_exported_unit,
)

app = typer.Typer(add_completion=False, no_args_is_help=True)

Serial = Annotated[str, typer.Argument(metavar="SERIAL", help="The unit's serial number")]


@app.command("list")
def list_(
    ctx: typer.Context,
    lot: Annotated[
        str | None, typer.Option("--lot", metavar="LOT", help="Only of this lot; over the network one is needed")
    ] = None,
    state: Annotated[State | None, typer.Option("--state", help="Only in this state")] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Units, with where they are in their life.

    Example: imprint unit list --lot 2026-11 --state quarantined
    """
    if lot is None:
        with reading(ctx, instead="Name a lot: --lot LOT").store.reading() as store:
            rows = [brief_unit(row) for row in store.find("units")]
    else:
        with viewing(ctx, passphrase_file, passphrase_fd) as authority:
            rows = authority.read(View.LOT_UNITS, lot=lot)["units"]
    # Of a reworked unit only the newest epoch is shown, unless the earlier ones are asked for.
    wanted = [row for row in rows if row["state"] == state or (state is None and row["state"] != State.SUPERSEDED)]
    show({"units": sorted(wanted, key=lambda row: str(row["serial"]))}, as_json=as_json)


@app.command("show")
def show_(
    ctx: typer.Context,
    unit: Annotated[str, typer.Argument(metavar="SERIAL|HARDWARE-ID", help="Which unit")],
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """One unit: all that is stored of it.

    Example: imprint unit show MP-000001
    """
    with viewing(ctx, passphrase_file, passphrase_fd) as authority:
        show(authority.read(View.UNIT, name=unit)["units"][-1], as_json=as_json)


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
        raise UnitFailed(
            f"the board differs from its record in {', '.join(bad)}",
            subject=record.serial,
            next_step="Keep it aside: it was changed after it shipped, or it is not what shipped",
        )
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
    command = ScrapUnit(serial=serial, reason=checked_reason(reason))
    with asking(ctx, passphrase_file, passphrase_fd) as authority:
        state = authority.command(command)
    show({"serial": serial, "state": state}, as_json=as_json)


@app.command()
def revoke(
    ctx: typer.Context,
    serial: Serial,
    reason: Annotated[RevocationReason, typer.Option("--reason", help="Why, in the words of a revocation list")],
    note_: Annotated[
        str | None, typer.Option("--note", metavar="TEXT", help="Why, in yours; it is kept in the ledger")
    ] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """The unit's certificate is not to be believed any more, for good. The unit stays what it is, also in a closed lot.

    Example: imprint unit revoke MP-000007 --reason keyCompromise --note "stolen from the van"
    """
    command = RevokeUnit(serial=serial, reason=reason, note="" if note_ is None else checked_reason(note_, "--note"))
    with asking(ctx, passphrase_file, passphrase_fd) as authority:
        state = authority.command(command)
    show({"serial": serial, "certificate": state}, as_json=as_json)


@app.command()
def rework(
    ctx: typer.Context,
    serial: Serial,
    reason: Reason,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """The unit starts again, in its place of the lot: its certificate is revoked, and the same board gets another one.

    Example: imprint unit rework MP-000007 --reason "antenna replaced"
    """
    command = ReworkUnit(serial=serial, reason=checked_reason(reason))
    with asking(ctx, passphrase_file, passphrase_fd) as authority:
        state = authority.command(command)
    show_decided(authority, {"serial": serial, "state": state}, as_json=as_json)
    if not as_json:
        note("Next: put the board on a fixture again, in the same lot")


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
    command = ClearUnit(serial=serial, reason=checked_reason(reason))
    with asking(ctx, passphrase_file, passphrase_fd) as authority:
        state = authority.command(command)
    show_decided(authority, {"serial": serial, "state": state}, as_json=as_json)


def comparison(record: BirthRecord, inspected: Inspected) -> list[dict[str, Any]]:
    """What the record says beside what the unit signed and its debug port showed. Counters may have gone up."""
    born_with = {one.claim: one.value for one in reversed(record.evidence)}  # the unit's own word is first
    statement, firmware = inspected.statement, record.firmware
    pairs = [
        ("certificate", record.certificate_sha256, statement.cert.hex()),
        ("hardware-id", record.hardware_id, statement.hw.hex()),
        ("firmware", firmware.image_hash, statement.image.hex()),
        ("boot-key", born_with.get("boot-key", ""), statement.boot_key.hex()),
        ("debug", born_with.get("debug", ""), inspected.debug),
    ]
    counters = [
        ("security counter", firmware.security_counter, statement.security),
        ("session counter", record.session_counter, statement.session),
    ]
    rows = [_row(claim, wanted, found, wanted == found) for claim, wanted, found in pairs]
    rows += [_row(claim, f"at least {least}", str(found), found >= least) for claim, least, found in counters]
    if inspected.probed is not None:
        wanted = born_with.get("debug", "")
        rows.append(_row("debug port", wanted, inspected.probed, wanted == inspected.probed, Grade.STATION_OBSERVED))
    return rows


def _row(claim: str, wanted: str, found: str, same: bool, grade: Grade = Grade.UNIT_SIGNED) -> dict[str, Any]:
    return {"claim": claim, "same": same, "grade": grade.value, "record": wanted, "board": found}


def _stored_record(ctx: typer.Context, inspected: Inspected) -> BirthRecord:
    reader = reading(ctx)
    with reader.store.reading() as store:
        row = _find(store, inspected.statement.hw.hex())
        if row["state"] != State.COMPLETE:
            raise RefusedError(
                f"it is {row['state']}, so nothing vouches for it",
                code=Code.WRONG_STATE,
                subject=f"unit {row['serial']}",
            )
        revoked = find_revocation(store, row)
        if revoked is not None:
            raise _revoked(row["serial"], revoked["revoked"], revoked["reason"])
        envelope, certificate = store.blob(row["record"]), store.blob(row["certificate"])
    record = open_record(trust_of_workspace(reader), envelope, certificate)
    inspected.check_signature(certificate)
    if row["contested"]:
        note(f"Another board has claimed to be {row['serial']}; this one holds its key")
    return record


def _revoked(serial: str, time: str, reason: str) -> RefusedError:
    return RefusedError(
        f"its certificate was revoked at {time} ({reason}), so nothing vouches for it",
        code=Code.REVOKED,
        subject=f"unit {serial}",
    )


def _exported_record(export: Path, inspected: Inspected) -> BirthRecord:
    trust = trust_of_export(export)
    for folder in sorted((export / "units").glob("*")):
        certificate = exported_certificate(folder)
        if inspected.certificate == certificate:
            record, _ = verify_exported_unit(trust, releases_of_export(trust, export), folder)
            inspected.check_signature(certificate)
            end = revoked_in(crl_of_export(trust, export), certificate)
            if end is not None:
                raise _revoked(record.serial, to_text(end.time), end.reason)
            return record
    raise UnitFailed("no unit of this export has the board's certificate", subject=str(export))


def _find(store: Reading, name: str) -> Row:
    by_hardware = store.find("units", hardware_id=name)
    return by_hardware[-1] if by_hardware else told(lambda: find_unit(store, name))
