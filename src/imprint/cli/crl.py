"""``imprint crl``: the list of certificates that are revoked."""

from typing import Annotated, Any

import typer

from imprint.assemble import Platform, Reader
from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.transaction import Reading
from imprint.authority.issuance.crl import last_crl
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.workspace_access import deciding, reading
from imprint.clock import to_text
from imprint.errors import RefusedError
from imprint.formats.crl import encode_pem, open_crl
from imprint.protocol.commands import CRL_DAYS, SignCrl
from imprint.protocol.refusals import Code
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
    """Sign the list of all that is revoked now. It is stored, and written to certs/crl.pem of the workspace.

    Example: imprint crl sign
    """
    with deciding(ctx, passphrase_file, passphrase_fd) as platform:
        row = sign_crl(platform, days=days)
    show({**_summary(row), "file": str(platform.reader.workspace.crl)}, as_json=as_json)
    if not as_json:
        note("Give it to whoever checks your units; sign the next one before this one ends")


@app.command("show")
def show_(ctx: typer.Context, as_json: Json = False) -> None:
    """The last list, with the units whose certificates are on it.

    Example: imprint crl show
    """
    reader = reading(ctx)
    with reader.store.reading() as store:
        row = _last(store)
        listed = _listed(reader, store, row)
        since = len(store.find("revocations")) - row["revoked"]
    show({**_summary(row), "revoked_since": since, "certificates": listed}, as_json=as_json)


def sign_crl(platform: Platform, *, days: int) -> Row:
    """Sign a list and write the last one to the workspace's certs folder; its row."""
    platform.command(SignCrl(days=days))
    with platform.reader.store.reading() as store:
        row = _last(store)
        write_file(platform.reader.workspace.crl, encode_pem(store.blob(row["crl"])))
    return row


def _last(store: Reading) -> Row:
    row = last_crl(store)
    if row is None:
        raise RefusedError(
            "there is no revocation list yet", code=Code.WRONG_STATE, next_step="Make one: 'imprint crl sign'"
        )
    return row


def _summary(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("number", "this_update", "next_update", "revoked")}


def _listed(reader: Reader, store: Reading, row: Row) -> list[dict[str, Any]]:
    ca, _ = reader.chain()
    listed = []
    for one in open_crl(store.blob(row["crl"]), ca).revoked:
        number = f"{one.number:x}"
        (certificate,) = store.find("certificates", number=number)
        (unit,) = store.find("units", hardware_id=certificate["hardware_id"], epoch=certificate["epoch"])
        listed.append(
            {"serial": unit["serial"], "number": number, "revoked": to_text(one.time), "reason": one.reason.value}
        )
    return listed
