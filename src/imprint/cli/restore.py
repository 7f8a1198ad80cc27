"""``imprint restore``: a workspace from a backup."""

from pathlib import Path
from typing import Annotated

import typer

from imprint.cli.output import Json, note, show
from imprint.errors import ImprintError
from imprint.reader import Reader, open_reader
from imprint.restore_backup import restore_backup

app = typer.Typer(add_completion=False)


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="A folder that 'imprint backup' made")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the workspace")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The newest checkpoint that you have: an older workspace than that decides nothing"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every file of a backup and make a workspace of them. Needs no passphrase.

    A backup that is older than the last checkpoint can be read and verified, and decides nothing: units that were made
    since would be forgotten, and their serial numbers given again.

    Example: imprint restore /media/backups/acme-2026-11-21 acme --checkpoint old-acme/ledger/checkpoint
    """
    manifest = restore_backup(backup, folder, checkpoint=checkpoint)
    reader = open_reader(folder)
    refusal = _refusal(reader)
    result = {
        "workspace": str(folder.absolute()),
        "made_at": manifest.made_at,
        "made_by": manifest.program,
        "entries": manifest.entries,
        "checkpoint": manifest.checkpoint_size,
        "compared_with_outside": _is_compared(reader),
        "decides": refusal is None,
        "reason": str(refusal or ""),
    }
    show(result, as_json=as_json)
    if as_json:
        return
    if not result["compared_with_outside"]:
        note("Nothing outside the backup says whether it is the newest. If you have a later checkpoint, restore again ")
        note("with --checkpoint. Units that were made since the backup are forgotten, and their serial numbers free")
    note(f"Next: imprint -C {folder} ledger verify")


def _refusal(reader: Reader) -> ImprintError | None:
    """Why the workspace would decide nothing."""
    try:
        reader.refuse_rollback()
    except ImprintError as problem:
        return problem
    return None


def _is_compared(reader: Reader) -> bool:
    return reader.workspace.checkpoint_copy is not None or reader.known_checkpoint() is not None
