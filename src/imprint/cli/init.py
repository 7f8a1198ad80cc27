"""``imprint init``: make a workspace."""

from pathlib import Path
from typing import Annotated

import typer

from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile, read_passphrase
from imprint.make_workspace import create
from imprint.storage.folder import refuse_occupied

app = typer.Typer(add_completion=False)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder")],
    organization: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Who makes the devices: the O of the CAs' certificates",
            show_default="the folder's name",
        ),
    ] = None,
    root_out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Put the root CA's key here: on a medium that you keep off-line")
    ] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    root_passphrase_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The root CA's passphrase: the first line of this private file")
    ] = None,
    root_passphrase_fd: Annotated[
        int | None, typer.Option(metavar="N", help="The root CA's passphrase: the next line of this open descriptor")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a workspace: settings, database, and the keys of root CA, device CA, ledger, records and firmware.

    The root CA has a passphrase of its own. After this its key is needed only to make another device CA.

    Example: imprint init ./acme --organization "Acme Ltd" --root-out /media/vault/acme-root
    """
    refuse_occupied(folder)
    passphrase = read_passphrase("workspace", file=passphrase_file, fd=passphrase_fd, new=True)
    root = read_passphrase("root CA", file=root_passphrase_file, fd=root_passphrase_fd, new=True)
    workspace = create(
        folder,
        organization=folder.absolute().name if organization is None else organization,
        passphrase=passphrase.reveal(),
        root_passphrase=root.reveal(),
        root_out=root_out,
    )
    result = {
        "workspace": str(workspace.folder),
        "organization": workspace.organization,
        "root_key": str((root_out or workspace.folder / "root").absolute()),
        "ledger_origin": workspace.origin,
    }
    show(result, as_json=as_json)
    if as_json:
        return
    if root_out is None:
        note(f"Move the folder {result['root_key']} to a medium that you keep off-line")
    if root == passphrase:
        note("Both passphrases are the same: whoever learns the daily one has the root CA too")
    note(f"Next: imprint product template > product.yaml, then imprint -C {folder} product add product.yaml")
