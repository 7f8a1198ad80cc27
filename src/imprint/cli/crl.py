"""``imprint crl``: the list of certificates that are revoked."""

from pathlib import Path
from typing import Annotated, Any

import typer

from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.workspace_access import asking, crl_file, viewing
from imprint.formats.crl import encode_pem
from imprint.protocol.commands import CRL_DAYS, SignCrl
from imprint.protocol.person_port import PersonPort, View
from imprint.storage.files import write_file

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def sign(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(metavar="N", help="When the next list is due, at the latest")] = CRL_DAYS,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Sign the list of all that is revoked now. It is stored, and written to certs/crl.pem of the workspace, or to
    crl.pem of an enrolled folder.

    Example: imprint crl sign
    """
    file = crl_file(ctx)
    with asking(ctx, passphrase_file, passphrase_fd) as authority:
        found = sign_crl(authority, file, days=days)
    show({**found, "file": str(file)}, as_json=as_json)
    if not as_json:
        note("Give it to whoever checks your units; sign the next one before this one ends")


@app.command("show")
def show_(
    ctx: typer.Context,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """The last list, with the units whose certificates are on it.

    Example: imprint crl show
    """
    with viewing(ctx, passphrase_file, passphrase_fd) as authority:
        show(authority.read(View.REVOKED), as_json=as_json)


def sign_crl(authority: PersonPort, file: Path, *, days: int) -> dict[str, Any]:
    """Sign a list and write the last one to ``file``; what it says of itself."""
    authority.command(SignCrl(days=days))
    write_file(file, encode_pem(authority.crl()))
    found = authority.read(View.REVOKED)
    return {name: found[name] for name in ("number", "this_update", "next_update", "revoked")}
