"""A ledger that lost entries goes on under another name, after what was lost was declared.

The declaration is one transaction of the database. From then on nothing is decided under the old name, so the files
follow it step by step; interrupted at any of them, the next run finishes::

    ledger-next/          the next generation, whole, over all entries
    ledger/ -> ledger-1/  the old one, as evidence; with it known-checkpoint and what lay in checkpoint-copy
    ledger-next/ -> ledger/
    checkpoint-copy       the new head
    imprint.toml          the new name
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imprint.assemble import CHANGES, admit, entry_changes
from imprint.authority.access.account import OWNER, Role
from imprint.authority.decisions.kernel import Ask, Kernel
from imprint.authority.decisions.outcome import Moment
from imprint.authority.decisions.results import unfold_result
from imprint.authority.decisions.transaction import Reading
from imprint.authority.issuance.issuer import DeviceCa
from imprint.authority.ledger.envelope import open_entry
from imprint.authority.ledger.tree import CHECKPOINT, Tree
from imprint.authority.recovery.generation import generation_of, next_origin, request_id
from imprint.authority.recovery.lost_unit import ReconcileLedger
from imprint.authority.recovery.reconcile import ReconcileRule, Recovery, recover
from imprint.clock import Clock, system_clock, to_text
from imprint.errors import InputError, LedgerError, RefusedError
from imprint.formats.checkpoint import SignedCheckpoint, open_checkpoint, parse_checkpoint
from imprint.formats.crl import RevocationList, decode_pem, open_crl
from imprint.formats.merkle import root_hash
from imprint.formats.note import VerifierKey, ed25519_key, parse_note
from imprint.keys.signer import Signer
from imprint.lost_decisions import LostDecisions, journals_in
from imprint.protocol.answers import Done
from imprint.protocol.refusals import Code
from imprint.reader import Reader, check_schema, open_reader
from imprint.storage.database import Database
from imprint.storage.files import read_file, read_file_if_any, storage_errors, sync_folder, write_file
from imprint.storage.folder import new_folder
from imprint.storage.replay import replay
from imprint.storage.tile_folder import TileFolder
from imprint.storage.workspace import Workspace, load_workspace, rename_origin

SIGNING: Final = ("device-ca", "ledger")
_MAX_CRL: Final = 1 << 26
_LIMIT: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What an officer says: the journals that there are, those that are lost, and the newest list of revocations.
    ``no_other_station`` says that whatever these do not show was decided by owners."""

    journals: Sequence[Path]
    lost_journals: Sequence[str] = ()
    lost_grants: Sequence[tuple[str, int]] = ()
    crl: Path | None = None
    no_other_station: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A declaration that was held against the workspace, and what it leads to. ``size`` entries are left."""

    command: ReconcileLedger
    recovery: Recovery
    size: int


def draft_reconciliation(folder: Path, declared: Declared, *, clock: Clock = system_clock) -> Draft:
    """What :func:`reconcile_ledger` would decide. Changes nothing.

    Raises :class:`RefusedError` when nothing is missing, or a journal that must be there is not, or may have to be;
    :class:`InputError` for a file that is not what it should be; :class:`LedgerError` when what is left is not whole.
    """
    reader = open_reader(folder)
    known = _known_checkpoints(reader)
    leaves = replay(reader.workspace.database, entry_changes, lambda _: None).leaves
    _refuse_another_past(reader, known, leaves)
    with reader.store.reading() as store:
        lost = LostDecisions(reader, store)
        for path in journals_in(declared.journals):
            lost.read(path)
        _refuse_unless_behind(reader, store, known, lost)
        _refuse_missing_journals(store, lost.stations, declared)
        _refuse_unknown_products(store, declared)
        command = ReconcileLedger(
            origin=next_origin([reader.workspace.origin, *(one.origin for one in known)]),
            known=max(known, key=lambda one: (generation_of(one.origin)[1], one.size)),
            stations=tuple(sorted(lost.stations)),
            lost_journals=tuple(sorted(declared.lost_journals)),
            lost_grants=tuple(sorted(declared.lost_grants)),
            units=lost.units(),
            decisions=lost.count,
            unanswered=lost.unanswered,
            crl=_read_crl(reader, declared.crl),
            findings=tuple(lost.findings),
        )
        recovery = recover(_moment(clock), store, command)
        _refuse_other_stations(recovery, declared, _stations(store))
        return Draft(command=command, recovery=recovery, size=len(leaves))


def reconcile_ledger(
    folder: Path, draft: Draft, signers: Mapping[str, Signer], *, clock: Clock = system_clock
) -> SignedCheckpoint:
    """Decide it with the keys of ``SIGNING``, and go on under the new name; the head of the new generation.

    Raises :class:`imprint.errors.WorkspaceError`, :class:`imprint.errors.StorageError` and :class:`LedgerError`; then
    :func:`unfinished` says whether it was decided.
    """
    reader = open_reader(folder)
    ca = DeviceCa(signer=signers["device-ca"], chain=reader.chain())
    store = Database(reader.workspace.database)
    kernel = Kernel(
        store=store,
        rules={ReconcileLedger: ReconcileRule(ca)},
        changes=CHANGES,
        clock=clock,
        random=os.urandom,
        receipt_signer=signers["ledger"],
        admit=admit,
    )
    name, body = request_id(reader.workspace.origin), repr(draft.command).encode()
    try:
        kernel.decide(Ask(actor=OWNER, request_id=name, body=body, request=draft.command))
    finally:
        kernel.close()
        store.close()
    return _go_on(reader.workspace, draft.command.origin, signers["ledger"])


def unfinished(folder: Path) -> str | None:
    """The name under which the ledger goes on, when that was decided and not finished; else None."""
    workspace = load_workspace(folder)
    check_schema(workspace)
    with Database(workspace.database, read_only=True).reading() as store:
        row = store.get("requests", actor=OWNER, request_id=request_id(workspace.origin))
        if row is None:
            return None
        entry = open_entry(*store.entry(row["leaf"]), subject=f"entry {row['leaf']}")
        result = unfold_result(entry.private["request"]["result"], store)
    assert isinstance(result, Done)
    return result.state


def finish(folder: Path, origin: str, signers: Mapping[str, Signer]) -> SignedCheckpoint:
    """Do what is left of a reconciliation that was interrupted; the head of the new generation."""
    return _go_on(load_workspace(folder), origin, signers["ledger"])


# --- what is known ---


def _known_checkpoints(reader: Reader) -> list[SignedCheckpoint]:
    """The ledger's own head and those outside it, of this generation or of a later one."""
    workspace, found = reader.workspace, []
    for path in (workspace.ledger / CHECKPOINT, workspace.checkpoint_copy, workspace.known_checkpoint):
        note = None if path is None else read_file_if_any(path, limit=_LIMIT)
        if path is not None and note is not None:
            found.append(_open_any(reader.ledger_key, note, path))
        elif path is not None and path == workspace.checkpoint_copy:
            reader.checkpoint_copy()  # says that it should be there
    if not found:
        raise LedgerError("there is no checkpoint at all", subject="ledger/checkpoint", next_step=_RESTORE)
    return found


def _open_any(key: VerifierKey, note: bytes, path: Path) -> SignedCheckpoint:
    origin = parse_checkpoint(parse_note(note).text).origin
    if generation_of(origin)[0] != generation_of(key.name)[0]:
        raise LedgerError(f"this is a checkpoint of {origin!r}", subject=str(path), next_step=_RESTORE)
    return open_checkpoint(note, [ed25519_key(origin, key.public)], origin=origin)


_RESTORE: Final = "Nothing was decided. Bring the checkpoint of this ledger"


def _refuse_another_past(reader: Reader, known: Iterable[SignedCheckpoint], leaves: Sequence[bytes]) -> None:
    """What is left must be the beginning of what was: as far as both reach, the same entries."""
    for checkpoint in known:
        if checkpoint.origin == reader.workspace.origin and checkpoint.size <= len(leaves):
            _compare(root_hash(leaves[: checkpoint.size]), checkpoint.root)
    head = reader.tree.head()
    if head is not None and head.size > len(leaves):
        _compare(root_hash(leaves), reader.tree.root_at(len(leaves)))


def _compare(ours: bytes, theirs: bytes) -> None:
    if ours != theirs:
        raise LedgerError(
            "its entries are not the beginning of those that a checkpoint covers",
            subject="database",
            next_step="Nothing was decided. Keep it as evidence, and restore another backup",
        )


def _refuse_unless_behind(
    reader: Reader, store: Reading, known: Sequence[SignedCheckpoint], lost: LostDecisions
) -> None:
    own = generation_of(reader.workspace.origin)[1]
    if (
        lost.count
        or lost.units()
        or any(one.size > store.size() or generation_of(one.origin)[1] > own for one in known)
    ):
        return
    raise RefusedError(
        "nothing is missing: no checkpoint outside covers more, and no journal tells of a decision that is not here",
        code=Code.WRONG_STATE,
        subject="database",
        next_step="This workspace decides as it is; see 'imprint ledger verify'",
    )


def _refuse_missing_journals(store: Reading, stations: Sequence[str], declared: Declared) -> None:
    """Every station that is known may have worked in the lost time; one that was suspended may have been resumed."""
    missing = sorted(_stations(store) - set(stations) - set(declared.lost_journals))
    both = sorted(set(stations) & set(declared.lost_journals))
    if both or len(set(stations)) < len(stations):
        raise InputError(
            "named twice: a journal is here once, or it is lost",
            subject=", ".join(both or sorted(stations)),
            next_step="Name each station's journal once, with --journal or with --lost-journal",
        )
    if missing:
        raise RefusedError(
            f"the journals of {', '.join(missing)} are missing",
            code=Code.WRONG_STATE,
            next_step="Bring them (--journal); one that is lost for good is named with --lost-journal, and then no "
            "open lot takes another unit",
        )


def _stations(store: Reading) -> set[str]:
    accounts = {row["name"] for row in store.find("accounts", role=Role.STATION.value)}
    return {row["station"] for row in store.find("units")} - {""} | accounts


def _refuse_other_stations(recovery: Recovery, declared: Declared, stations: set[str]) -> None:
    """A station that was enrolled in the lost time is in no table; the places of its units would be given again. One
    that nobody knows, and of which nothing is missing, is a slip of the pen: it would end every lot."""
    may_be = recovery.unexplained or declared.lost_grants
    if unknown := [] if may_be else sorted(set(declared.lost_journals) - stations):
        raise InputError(
            "no such station, and the journals show every lost entry",
            subject=", ".join(unknown),
            next_step="Check the name; see 'imprint account list'",
        )
    if recovery.unexplained and not declared.lost_journals and not declared.no_other_station:
        raise RefusedError(
            f"lost entries that no journal shows: {recovery.unexplained}; they are owners' decisions, or those of a "
            "station that was enrolled in the lost time",
            code=Code.WRONG_STATE,
            next_step="If no other station worked in that time, say so with --no-other-station. Else bring its "
            "journal, or name it with --lost-journal",
        )


def _refuse_unknown_products(store: Reading, declared: Declared) -> None:
    for product, _ in declared.lost_grants:
        if store.get("products", product=product) is None:
            raise InputError("no such product", subject=product, next_step="See 'imprint product list'")


def _read_crl(reader: Reader, path: Path | None) -> RevocationList | None:
    if path is None:
        return None
    return open_crl(decode_pem(read_file(path, limit=_MAX_CRL)), reader.chain()[0])


def _moment(clock: Clock) -> Moment:
    now = clock()
    return Moment(actor=OWNER, now=now, time=to_text(now), random=os.urandom)


# --- the files ---


def _go_on(workspace: Workspace, origin: str, signer: Signer) -> SignedCheckpoint:
    raw = signer.public_key[-32:]  # SPKI ends with the raw key, RFC 8410 section 4
    key = ed25519_key(origin, raw)
    earlier = workspace.earlier_ledger(generation_of(workspace.origin)[1])
    if not earlier.exists() and not workspace.next_ledger.exists():
        _build(workspace, key, signer)
    # Whoever still writes under the old name finishes first, and whoever waits finds another log here.
    with TileFolder(earlier if earlier.exists() else workspace.ledger).lock():
        if not earlier.exists():
            _rename(workspace.ledger, earlier)
        if not workspace.ledger.exists():
            _rename(workspace.next_ledger, workspace.ledger)
    head = Tree(TileFolder(workspace.ledger), key=key).head()
    if head is None:
        raise LedgerError("the last checkpoint is missing", subject="ledger/checkpoint", next_step=_BACK)
    if workspace.known_checkpoint.exists():
        _rename(workspace.known_checkpoint, earlier / workspace.known_checkpoint.name)
    _move_copy(workspace, earlier, head)
    rename_origin(workspace, origin)
    return head


_BACK: Final = "Restore the backup again, and reconcile that"


def _build(workspace: Workspace, key: VerifierKey, signer: Signer) -> None:
    """The next generation, over all entries of the database: nobody decides until it is in its place."""
    with new_folder(workspace.next_ledger) as building:
        building.chmod(0o755)
        write_file(building / "vkey", f"{key.encode()}\n".encode())
        with Database(workspace.database, read_only=True).reading() as store:
            tree = Tree(TileFolder(building), key=key, sign=signer.sign)
            tree.integrate(0, (data for _, data, _ in store.entries()))


def _rename(source: Path, target: Path) -> None:
    with storage_errors(source, "could not be moved"):
        source.rename(target)
    sync_folder(target.parent)
    sync_folder(source.parent)


def _move_copy(workspace: Workspace, earlier: Path, head: SignedCheckpoint) -> None:
    """The checkpoint elsewhere: the old one is evidence, and the new one guards from here on."""
    copy = workspace.checkpoint_copy
    if copy is None:
        return
    found = read_file(copy, limit=_LIMIT)
    if found != head.note:
        write_file(earlier / "checkpoint-copy", found)
        write_file(copy, head.note)
