"""``imprint backup``: a copy of the workspace, made while it is at work."""

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from imprint.cli.output import Json, note, note_replayed, show
from imprint.cli.workspace_access import reading
from imprint.clock import system_clock
from imprint.formats.backup_manifest import BackupManifest
from imprint.make_backup import make_backup
from imprint.storage.folder import refuse_occupied
from imprint.storage.workspace import Workspace

app = typer.Typer(add_completion=False)


@app.command()
def backup(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, on another disk")],
    as_json: Json = False,
) -> None:
    """Copy the workspace while services and stations work in it, and verify the copy. Needs no passphrase.

    The private keys are copied as they are, encrypted. Keep the passphrases elsewhere.

    Example: imprint backup /media/backups/acme-2026-11-21
    """
    refuse_occupied(folder)
    reader = reading(ctx)
    manifest = make_backup(
        reader, folder, program=metadata.version("imprint"), now=system_clock(), progress=note_replayed
    )
    result = {
        "backup": str(folder.absolute()),
        "made_at": manifest.made_at,
        "entries": manifest.entries,
        "checkpoint": manifest.checkpoint_size,
        "root": manifest.checkpoint_root,
        "files": len(manifest.files),
        "bytes": sum(file.size for file in manifest.files),
        "not_copied": _left_out(reader.workspace, manifest),
    }
    show(result, as_json=as_json)
    if not as_json:
        note(f"Next, when it is needed: imprint restore {folder} NEW-DIR")


def _left_out(workspace: Workspace, manifest: BackupManifest) -> list[str]:
    """Keys that are not in the workspace's own folders."""
    copied = {file.path for file in manifest.files}
    keys = [f"key {name} ({uri})" for name, uri in workspace.keys.items() if uri.removeprefix("file:") not in copied]
    return ([] if "root/root.pem" in copied else ["root CA's key (not in the workspace)"]) + keys
