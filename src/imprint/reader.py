"""A workspace that is read: what needs no passphrase. The database, the ledger's public files, the public keys."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from imprint.authority.access.account import OWNER
from imprint.authority.decisions.guard import refuse_rollback
from imprint.authority.decisions.transaction import Reading
from imprint.authority.ledger.tree import Tree
from imprint.authority.production.catalogue import Catalogue
from imprint.authority.production.package import lot_package
from imprint.authority.recovery.generation import request_id
from imprint.authority.views import LOOKS, Sources, find_crl
from imprint.errors import LedgerError, WorkspaceError
from imprint.formats.checkpoint import SignedCheckpoint, open_checkpoint
from imprint.formats.note import VerifierKey, parse_vkey
from imprint.keys.verify import decode_public_pem
from imprint.protocol.person_port import View
from imprint.protocol.port import LotPackage
from imprint.storage.database import Database
from imprint.storage.files import read_file, read_file_if_any
from imprint.storage.schema import HEAD, schema_version
from imprint.storage.tile_folder import TileFolder
from imprint.storage.workspace import Workspace, load_workspace

_KEY_LIMIT: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What needs no passphrase: the database, the ledger's public files, the public keys."""

    workspace: Workspace
    store: Database
    tree: Tree
    ledger_key: VerifierKey
    catalogue: Catalogue

    def public_key(self, name: str) -> bytes:
        """A key's public half, SPKI in DER."""
        return decode_public_pem(read_file(self.workspace.public_key(name), limit=_KEY_LIMIT))

    def chain(self) -> tuple[bytes, bytes]:
        """The device CA's and the root's certificates, DER."""
        return _read_certificate(self.workspace.ca_certificate), _read_certificate(self.workspace.root_certificate)

    def package(self, lot: str) -> LotPackage:
        """As :meth:`imprint.protocol.port.AuthorityPort.lot`."""
        boot_key = self.public_key("firmware")
        with self.store.reading() as store:
            return lot_package(store, self.catalogue, lot, boot_key=boot_key)

    def access_ca(self) -> bytes:
        """The certificate of the CA of accounts, DER."""
        return _read_certificate(self.workspace.access_ca_certificate)

    def read(self, view: View, **names: str) -> dict[str, Any]:
        """As :meth:`imprint.protocol.person_port.Views.read`."""
        with self.store.reading() as store:
            return LOOKS[view](Sources(store=store, catalogue=self.catalogue, ca=lambda: self.chain()[0]), **names)

    def crl(self) -> bytes:
        """As :meth:`imprint.protocol.person_port.PersonPort.crl`."""
        with self.store.reading() as store:
            return store.blob(find_crl(store)["crl"])

    def read_ledger_file(self, path: str) -> bytes | None:
        """A public file of the ledger by its path in the ledger folder; None when there is none."""
        return TileFolder(self.workspace.ledger).read(path)

    def outside_checkpoints(self) -> tuple[SignedCheckpoint, ...]:
        """Checkpoints that are kept in places other than the ledger's own folder. Raises as :meth:`checkpoint_copy`."""
        return tuple(found for found in (self.checkpoint_copy(), self.known_checkpoint()) if found is not None)

    def checkpoint_copy(self) -> SignedCheckpoint | None:
        """The last checkpoint as it is kept elsewhere; None when the settings name no such place. Raises
        :class:`LedgerError` when it should be there and is not: a place that is away proves nothing."""
        path = self.workspace.checkpoint_copy
        if path is None:
            return None
        note = read_file_if_any(path, limit=_KEY_LIMIT)
        if note is None:
            raise LedgerError(
                "the copy of the last checkpoint is not there",
                subject=str(path),
                next_step="Mount its disk; after a restore, bring the file from where it was. "
                "If the setting is new, copy ledger/checkpoint there to begin",
            )
        return self.open_checkpoint(note)

    def known_checkpoint(self) -> SignedCheckpoint | None:
        """The checkpoint that was named when the workspace was restored; None when there was none."""
        note = read_file_if_any(self.workspace.known_checkpoint, limit=_KEY_LIMIT)
        return None if note is None else self.open_checkpoint(note)

    def open_checkpoint(self, note: bytes) -> SignedCheckpoint:
        """A checkpoint of this ledger, verified."""
        return open_checkpoint(note, [self.ledger_key], origin=self.ledger_key.name)

    def refuse_rollback(self) -> None:
        """Raises :class:`imprint.errors.LedgerError` when the database is older than a checkpoint over it."""
        with self.store.reading() as store:
            refuse_ended(store, self.workspace.origin)
        outside = self.outside_checkpoints()  # before the head and the database: all of them grow
        with self.store.reading() as store:
            refuse_rollback(store, self.tree, outside)


def has_ended(store: Reading, origin: str) -> bool:
    """Whether it is decided that the log of this name goes on under another."""
    return store.get("requests", actor=OWNER, request_id=request_id(origin)) is not None


def refuse_ended(store: Reading, origin: str) -> None:
    """Raise :class:`LedgerError` when the log goes on under another name, and the workspace does not know it yet."""
    if has_ended(store, origin):
        raise LedgerError(_INTERRUPTED, subject="database", next_step=f"Nothing was issued. {_FINISH}")


_INTERRUPTED: Final = "its ledger was being reconciled when that was interrupted"
_FINISH: Final = "Run 'imprint ledger reconcile' again: it finishes"


def open_reader(folder: Path) -> Reader:
    """Open a workspace for reading. Raises :class:`WorkspaceError`, :class:`LedgerError` when its ledger is between two
    generations, and what its files raise."""
    workspace = load_workspace(folder)
    check_schema(workspace)
    if workspace.next_ledger.exists() and not workspace.ledger.exists():
        raise LedgerError(_INTERRUPTED, subject=str(workspace.ledger), next_step=_FINISH)
    key = _vkey(workspace)
    return Reader(
        workspace=workspace,
        store=Database(workspace.database, read_only=True),
        tree=Tree(TileFolder(workspace.ledger), key=key),
        ledger_key=key,
        catalogue=Catalogue(),
    )


def _read_certificate(path: Path) -> bytes:
    try:
        return load_pem_x509_certificate(read_file(path, limit=_KEY_LIMIT)).public_bytes(Encoding.DER)
    except ValueError as problem:
        raise WorkspaceError(
            "not a certificate in PEM", subject=str(path), next_step="Restore the certs folder from a backup"
        ) from problem


def check_schema(workspace: Workspace) -> None:
    """Raise :class:`WorkspaceError` unless the database is one that this program knows."""
    found = schema_version(workspace.database)
    if found != HEAD:
        raise WorkspaceError(
            f"the database has schema {found or 'none'}; this program knows {HEAD}",
            subject=str(workspace.database),
            next_step="Use the program that made it, or restore a backup",
        )


def _vkey(workspace: Workspace) -> VerifierKey:
    key = parse_vkey(read_file(workspace.ledger / "vkey", limit=_KEY_LIMIT).decode(errors="replace").strip())
    if key.name != workspace.origin:
        raise WorkspaceError(
            f"the ledger's key is for {key.name}, the settings say {workspace.origin}",
            subject=str(workspace.ledger / "vkey"),
            next_step="If 'imprint ledger reconcile' was interrupted, run it again: it finishes. "
            "Else restore imprint.toml and ledger/vkey from one backup",
        )
    return key
