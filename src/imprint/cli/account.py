"""``imprint account``: who may use the service."""

import base64
import secrets
from typing import Annotated

import typer

from imprint.authority.access.account import Role
from imprint.cli.enrolment import InvitationFile, NewFolder, Url, enrol_folder
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.reason import Reason, checked_reason
from imprint.cli.workspace_access import asking, show_decided, viewing
from imprint.encoding import sha256_hex
from imprint.protocol.commands import InviteAccount, ResumeAccount, SuspendAccount
from imprint.protocol.enrolment import Invitation
from imprint.protocol.person_port import PersonPort, View

app = typer.Typer(add_completion=False, no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the person or station")]
CODE_BYTES = 16


@app.callback()
def account() -> None:
    """Who may use the service: people and stations, each with one role; and becoming one of them."""


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
    with asking(ctx, passphrase_file, passphrase_fd) as authority:
        invitation = invite_account(authority, name, role, hours=hours)
    show({"name": name, "role": role.value, "hours": hours, "invitation": invitation.encode()}, as_json=as_json)
    if not as_json:
        noun = "station" if role is Role.STATION else "account"
        note(f"Next, on the other machine: imprint {noun} enrol https://HOST:8444 --dir DIR")


def invite_account(authority: PersonPort, name: str, role: Role, *, hours: int = 24) -> Invitation:
    """An invitation with a new code, of which the authority keeps the hash."""
    code = base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode().rstrip("=")
    authority.command(InviteAccount(name=name, role=role.value, code=sha256_hex(code.encode()), hours=hours))
    return Invitation(name=name, code=code, access_ca=sha256_hex(authority.access_ca()))


@app.command()
def enrol(
    url: Url,
    folder: NewFolder,
    invitation_file: InvitationFile = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Get a certificate from an authority for your invitation. With -C at the folder you work with that authority.

    As far as your role may: product add, list, show; release list; lot create, list, show, report, refund, close;
    unit list, show, scrap, revoke, rework, clear; crl sign, show; account invite, list, suspend, resume.

    The key is made here and never leaves this machine. When it is broken off, run it again with the same folder.

    Example: imprint account enrol https://authority.example:8444 --dir ./acme
    """
    enrol_folder(
        url,
        folder,
        invitation_file=invitation_file,
        passphrase_file=passphrase_file,
        passphrase_fd=passphrase_fd,
        as_json=as_json,
    )


@app.command("list")
def list_(
    ctx: typer.Context,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """All accounts, with their states and when their certificates end.

    Example: imprint account list
    """
    with viewing(ctx, passphrase_file, passphrase_fd) as authority:
        show(authority.read(View.ACCOUNTS), as_json=as_json)


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
    with asking(ctx, passphrase_file, passphrase_fd) as authority:
        state = authority.command(SuspendAccount(name=name, reason=checked_reason(reason)))
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
    with asking(ctx, passphrase_file, passphrase_fd) as authority:
        state = authority.command(ResumeAccount(name=name, reason=checked_reason(reason)))
    show_decided(authority, {"name": name, "state": state}, as_json=as_json)
