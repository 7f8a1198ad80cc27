"""``imprint account``: who may use the service."""

import base64
import secrets
from typing import Annotated

import typer

from imprint.assemble import Platform
from imprint.authority.access.account import Role
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.reason import Reason, checked_reason
from imprint.cli.workspace_access import deciding, reading
from imprint.encoding import sha256_hex
from imprint.protocol.commands import InviteAccount, ResumeAccount, SuspendAccount
from imprint.protocol.enrolment import Invitation

app = typer.Typer(add_completion=False, no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the person or station")]
CODE_BYTES = 16


@app.callback()
def account() -> None:
    """Who may use the service: people and stations, each with one role."""


@app.command()
def invite(
    ctx: typer.Context,
    name: Name,
    role: Annotated[Role, typer.Option(help="What the account is for")],
    hours: Annotated[int, typer.Option(metavar="N", min=1, max=720, help="How long the invitation is open")] = 24,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Make an invitation: who has it can enrol once under this name. Hand it over by a way that you trust.

    An account that exists can be invited again, for a new certificate; the old one ends when the new one is there.

    Example: imprint account invite bench-1 --role station
    """
    with deciding(ctx, passphrase_file, passphrase_fd) as platform:
        invitation = invite_account(platform, name, role, hours=hours)
    show({"name": name, "role": role.value, "hours": hours, "invitation": invitation.encode()}, as_json=as_json)
    if not as_json:
        note("Next, on the other machine: imprint station enrol https://HOST:8444 --dir DIR")


def invite_account(platform: Platform, name: str, role: Role, *, hours: int = 24) -> Invitation:
    """An invitation with a new code, of which the authority keeps the hash."""
    code = base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode().rstrip("=")
    platform.command(InviteAccount(name=name, role=role.value, code=sha256_hex(code.encode()), hours=hours))
    return Invitation(name=name, code=code, access_ca=sha256_hex(platform.reader.access_ca()))


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """All accounts, with their states and when their certificates end.

    Example: imprint account list
    """
    with reading(ctx).store.reading() as store:
        names = ("name", "role", "state", "valid_until", "code_until")
        rows = [{name: row[name] for name in names} for row in store.find("accounts")]
    show({"accounts": rows}, as_json=as_json)


@app.command()
def suspend(
    ctx: typer.Context,
    name: Name,
    reason: Reason,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Refuse an account everything from now on, repeats of earlier requests included.

    Example: imprint account suspend bench-1 --reason "stolen on 21 November"
    """
    with deciding(ctx, passphrase_file, passphrase_fd) as platform:
        state = platform.command(SuspendAccount(name=name, reason=checked_reason(reason)))
    show({"name": name, "state": state}, as_json=as_json)


@app.command()
def resume(
    ctx: typer.Context,
    name: Name,
    reason: Reason,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Let a suspended account ask again, with the certificate that it has.

    Example: imprint account resume bench-1 --reason "found, and checked"
    """
    with deciding(ctx, passphrase_file, passphrase_fd) as platform:
        state = platform.command(ResumeAccount(name=name, reason=checked_reason(reason)))
    show({"name": name, "state": state}, as_json=as_json)
