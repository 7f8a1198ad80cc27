"""``imprint ledger reconcile``: the way on for a workspace that is older than what it had decided."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from imprint.assemble import open_signers
from imprint.cli import workspace_folder
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile, read_passphrase
from imprint.errors import InputError
from imprint.formats.checkpoint import SignedCheckpoint
from imprint.keys.signer import Signer
from imprint.reconcile_ledger import (
    SIGNING,
    Declared,
    Draft,
    draft_reconciliation,
    finish,
    reconcile_ledger,
    unfinished,
)
from imprint.storage.workspace import load_workspace

_MOST_UNITS = 10_000_000


def reconcile(
    ctx: typer.Context,
    journal: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE|DIR", help="A station's journal as it is now, or a folder of them; for each of them"
        ),
    ] = None,
    lost_journal: Annotated[
        list[str] | None,
        typer.Option(metavar="STATION", help="A station whose journal is gone: no open lot takes another unit"),
    ] = None,
    lost_lot: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PRODUCT:N", help="A lot of N units that was made since the backup: its values are skipped"
        ),
    ] = None,
    crl: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The last revocation list that was given out (crl.pem)")
    ] = None,
    no_other_station: Annotated[
        bool,
        typer.Option(
            "--no-other-station",
            help="No station but these worked since the backup: what they do not show was yours",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would be decided; needs no passphrase")] = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Declare what was lost, and go on: for a workspace whose newer database is gone for good.

    What the journals prove is entered again; what may have been given is never given again; the ledger goes on under a
    new name and says why. First make sure that no other copy of this workspace decides.

    Example: imprint ledger reconcile --journal /media/bench-1.journal --journal /media/bench-2.journal --crl crl.pem
    """

    folder = workspace_folder(ctx)

    def signers() -> dict[str, Signer]:
        passphrase = read_passphrase("workspace", file=passphrase_file, fd=passphrase_fd).reveal()
        return open_signers(load_workspace(folder), passphrase, SIGNING)

    origin = unfinished(folder)
    if origin is not None:
        _show_head(finish(folder, origin, signers()), as_json=as_json)
        return
    declared = Declared(
        journals=journal or [],
        lost_journals=lost_journal or [],
        lost_grants=_lost_grants(lost_lot or []),
        crl=crl,
        no_other_station=no_other_station,
    )
    draft = draft_reconciliation(folder, declared)
    head = None if dry_run else reconcile_ledger(folder, draft, signers())
    show(_report(draft, head), as_json=as_json)
    if not as_json:
        _tell(draft, has_crl=crl is not None, decided=head is not None)


def _lost_grants(texts: Sequence[str]) -> list[tuple[str, int]]:
    grants = []
    for text in texts:
        product, _, count = text.rpartition(":")
        if not product or not (count.isascii() and count.isdecimal() and 0 < int(count[:9]) <= _MOST_UNITS):
            raise InputError("not a lost lot", subject=text, next_step="Write PRODUCT:N, for example thermostat:500")
        grants.append((product, int(count)))
    return grants


def _report(draft: Draft, head: SignedCheckpoint | None) -> dict[str, Any]:
    command, recovery = draft.command, draft.recovery
    return {
        "decided": head is not None,
        "origin": command.origin,
        "before": command.known.origin,
        "entries_kept": draft.size,
        "entries_known": command.known.size,
        "decisions_shown": command.decisions,
        "not_shown": recovery.unexplained,
        "checkpoint": head.size if head is not None else None,
        "accounts_suspended": list(recovery.accounts),
        "findings": list(recovery.findings),
        "units": list(recovery.units),
        "pools": [{**one, "skipped": one["next"] - one["before"]} for one in recovery.pools],
        "lots_stopped": list(recovery.lots),
    }


def _show_head(head: SignedCheckpoint, *, as_json: bool) -> None:
    show({"decided": True, "origin": head.origin, "checkpoint": head.size}, as_json=as_json)
    if not as_json:
        note("It was decided before, and is finished now")


def _tell(draft: Draft, *, has_crl: bool, decided: bool) -> None:
    if not has_crl:
        note("Without the last revocation list (--crl) what was revoked since the backup is not: do it again")
    if draft.recovery.unexplained:
        note("What no journal shows may have been an owner's decision (a lot, a release, a revocation): make it again")
    if not decided:
        note("Nothing was decided (--dry-run)")
        return
    note("Give ledger/vkey to all who check your ledger; 'imprint account resume' lets each account in again")
    note("Next: imprint ledger verify, then imprint crl sign")
