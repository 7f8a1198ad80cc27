"""``imprint record``: birth records."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from imprint.authority.production.export import prove
from imprint.authority.production.named_unit import find_unit
from imprint.authority.production.revocation import find_revocation
from imprint.cli.output import Json, note, show
from imprint.cli.workspace_access import reading, signed_head, told
from imprint.clock import to_text
from imprint.errors import InputError, LedgerError, RefusedError
from imprint.formats.birth_record import BirthRecord
from imprint.formats.reconciliation import Reconciliation
from imprint.protocol.refusals import Code
from imprint.verify_record import (
    check_firmware,
    crl_of_export,
    exported_certificate,
    open_record,
    releases_of_export,
    revoked_in,
    sum_of_export,
    trust_of_export,
    trust_of_workspace,
    verify_exported_unit,
    verify_inclusion,
)

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command("show")
def show_(
    ctx: typer.Context,
    serial: Annotated[str, typer.Argument(metavar="SERIAL", help="The unit's serial number")],
    as_json: Json = False,
) -> None:
    """The record of a unit, verified.

    Example: imprint record show MP-000001
    """
    reader = reading(ctx)
    with reader.store.reading() as store:
        unit = told(lambda: find_unit(store, serial))
        if unit["record"] is None:
            raise RefusedError(
                f"unit {serial} is {unit['state']}, so it has no record", code=Code.WRONG_STATE, subject=serial
            )
        envelope, certificate = store.blob(unit["record"]), store.blob(unit["certificate"])
        end = find_revocation(store, unit)
    record = open_record(trust_of_workspace(reader), envelope, certificate)
    show({**asdict(record), "revoked": end["revoked"] if end else None}, as_json=as_json)


@app.command()
def verify(
    ctx: typer.Context,
    file: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help="record.json files of an export", show_default="all of it"),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="DIR", help="An export; needs no workspace. Without it: the workspace's own")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check records: signature, certificate chain, firmware, that their completion is in the ledger, and that none is
    missing from the lot's signed sum.

    Example: imprint record verify --export ./lot-2026-11
    """
    if export is None:
        if file:
            raise InputError("which export do these files belong to?", next_step="Name it with --export DIR")
        rows = _verify_workspace(ctx)
    else:
        rows = _verify_export(export, file)
    show({"verified": len(rows), "records": rows}, as_json=as_json)
    if export is not None and not as_json:
        note("Compare root.pem and ledger/vkey with what the product's owner told you")


def _verify_export(export: Path, files: list[Path] | None) -> list[dict[str, Any]]:
    trust = trust_of_export(export)
    releases = releases_of_export(trust, export)
    folders = [path.parent for path in files] if files else sorted((export / "units").glob("*"))
    verified = [verify_exported_unit(trust, releases, folder) for folder in folders]
    crl = crl_of_export(trust, export)
    ends = [revoked_in(crl, exported_certificate(folder)) for folder in folders]
    if not files:
        _refuse_incomplete(export, sum_of_export(trust, export), [record for record, _ in verified])
    return [
        {
            "serial": record.serial,
            "hardware_id": record.hardware_id,
            "checkpoint": checkpoint.size,
            "revoked": to_text(end.time) if end else None,
        }
        for (record, checkpoint), end in zip(verified, ends, strict=True)
    ]


def _refuse_incomplete(export: Path, total: Reconciliation, records: list[BirthRecord]) -> None:
    """The signed sum says how many units of which lot there must be."""
    for record in records:
        if record.lot != total.lot:
            raise LedgerError(f"{record.serial} is of lot {record.lot}, not of {total.lot}", subject=str(export))
    if len(records) != total.shipped:
        raise LedgerError(
            f"{total.shipped} units of lot {total.lot} shipped, and {len(records)} are here",
            subject=str(export),
            next_step="Ask whoever exported it for all of it; name record.json files to check these alone",
        )


def _verify_workspace(ctx: typer.Context) -> list[dict[str, Any]]:
    reader = reading(ctx)
    trust, head = trust_of_workspace(reader), signed_head(reader)
    rows = []
    with reader.store.reading() as store:
        for unit in sorted(store.find("units", state="complete"), key=lambda unit: str(unit["serial"])):
            envelope = store.blob(unit["record"])
            record = open_record(trust, envelope, store.blob(unit["certificate"]))
            sha256 = record.firmware.image_sha256
            check_firmware(record, {sha256: reader.catalogue.image(store, sha256)})
            proof = prove(store, reader.tree, store.index(unit["complete_leaf"]), head)
            verify_inclusion(trust, envelope, proof.encode())
            end = find_revocation(store, unit)
            row = {"serial": record.serial, "hardware_id": record.hardware_id, "checkpoint": head.size}
            rows.append({**row, "revoked": end["revoked"] if end else None})
    return rows
