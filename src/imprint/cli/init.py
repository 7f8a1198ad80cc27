"""``imprint init``: make a workspace."""

from pathlib import Path
from typing import Annotated

import typer

from imprint.assemble import create
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile, read_passphrase

app = typer.Typer(add_completion=False)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder")],
    organization: Annotated[
        str, typer.Option(metavar="NAME", help="Who makes the devices: the O of every certificate")
    ] = "Example",
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

    The root CA has a passphrase of its own. After this it is needed only to make another device CA.

    Example: imprint init ./acme --organization "Acme Ltd" --root-out /media/vault/acme-root
    """
    passphrase = read_passphrase("workspace", file=passphrase_file, fd=passphrase_fd, new=True)
    root = read_passphrase("root CA", file=root_passphrase_file, fd=root_passphrase_fd, new=True)
    workspace = create(
        folder,
        organization=organization,
        passphrase=passphrase.reveal(),
        root_passphrase=root.reveal(),
        root_out=root_out,
    )
    root_folder = root_out or workspace.folder / "root"
    show(
        {"workspace": str(workspace.folder), "root_key": str(root_folder), "origin": workspace.origin}, as_json=as_json
    )
    if root_out is None and not as_json:
        note(f"Move {root_folder} to a medium that you keep off-line")
    if not as_json:
        note(f"Next: imprint product template > product.yaml, then imprint -C {folder} product add product.yaml")
