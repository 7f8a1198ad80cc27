"""From a workspace to a wired platform that decides: where its parts are chosen."""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from imprint.authority.access import entries as access_entries
from imprint.authority.access.account import OWNER, find_account
from imprint.authority.access.rules import EnrolRule, InviteRule, ResumeRule, SuspendRule
from imprint.authority.decisions.changes import Change, ChangesOf
from imprint.authority.decisions.kernel import Ask, Kernel, changes_of
from imprint.authority.decisions.outcome import Rule
from imprint.authority.decisions.transaction import Reading
from imprint.authority.issuance import entries as issuance_entries
from imprint.authority.issuance.access_ca import AccessCa
from imprint.authority.issuance.crl import SignCrlRule
from imprint.authority.issuance.issuer import DeviceCa
from imprint.authority.ledger.envelope import OpenedEntry
from imprint.authority.ledger.tree import Tree
from imprint.authority.production import entries as production_entries
from imprint.authority.production.certify import CertifyRule
from imprint.authority.production.claim import ClaimRule
from imprint.authority.production.commands import CloseLotUnder, DefineProduct, Prepared
from imprint.authority.production.complete import CompleteRule
from imprint.authority.production.evidence import UNIT
from imprint.authority.production.in_process import InProcessAuthority
from imprint.authority.production.owner import (
    AddProductRule,
    ClearRule,
    CloseLotRule,
    CreateLotRule,
    ExpireClaimsRule,
)
from imprint.authority.production.permit import PermitRule, QuarantineRule, ReleaseRule
from imprint.authority.production.product import Product
from imprint.authority.production.refund import RefundRule
from imprint.authority.production.revocation import RevokeRule, ScrapRule
from imprint.authority.production.rework import ReworkRule
from imprint.authority.production.take_over import TakeOverRule
from imprint.authority.recovery import entries as recovery_entries
from imprint.authority.releases import entries as release_entries
from imprint.authority.releases.release import AddReleaseRule
from imprint.authority.releases.seal import seal
from imprint.clock import Clock, system_clock
from imprint.errors import AccessError, InputError, LedgerError, RefusedError, StorageError, WorkspaceError
from imprint.formats.checkpoint import SignedCheckpoint
from imprint.formats.x509 import certificate_number
from imprint.keys.signer import Signer
from imprint.keys.uri import open_signer
from imprint.keys.verify import decode_public_pem
from imprint.protocol import commands, intentions
from imprint.protocol.answers import Answer, Done, Refused
from imprint.protocol.commands import Command
from imprint.protocol.enrolment import Enrolment
from imprint.protocol.person_port import View
from imprint.reader import Reader, has_ended, open_reader
from imprint.storage.database import Database
from imprint.storage.files import read_file, write_file
from imprint.storage.tile_folder import TileFolder
from imprint.storage.workspace import Workspace

CHANGES: Final[Mapping[str, ChangesOf]] = {
    **access_entries.CHANGES,
    **issuance_entries.CHANGES,
    **production_entries.CHANGES,
    **recovery_entries.CHANGES,
    **release_entries.CHANGES,
}
DECIDING: Final = ("device-ca", "ledger", "record", "firmware")
SERVING: Final = (*DECIDING, "access-ca")

_KEY_LIMIT: Final = 1 << 16


def entry_changes(entry: OpenedEntry) -> list[Change]:
    """What any entry of any room changes."""
    return changes_of(entry, CHANGES)


class Platform:
    """A workspace that decides. Use :func:`open_platform`."""

    def __init__(self, reader: Reader, signers: Mapping[str, Signer], clock: Clock) -> None:
        self.reader = reader
        self.clock = clock
        self.boot_key = signers["firmware"].public_key
        self._signers = signers
        self._store = Database(reader.workspace.database)
        self._tree = Tree(TileFolder(reader.workspace.ledger), key=reader.ledger_key, sign=signers["ledger"].sign)
        self._kernel = Kernel(
            store=self._store,
            rules=_rules(reader, signers),
            changes=CHANGES,
            clock=clock,
            random=os.urandom,
            receipt_signer=signers["ledger"],
            admit=self._admit,
        )

    def decide_together(self, asks: Sequence[Ask]) -> list[Answer | BaseException]:
        """As :meth:`imprint.authority.decisions.kernel.Kernel.decide_together`, with receipts."""
        done = self._kernel.decide_together(asks)
        return [each if isinstance(each, BaseException) else self._kernel.answer(each) for each in done]

    def service_certificate(self, hosts: Sequence[str]) -> bytes:
        """A new certificate in DER for the service's TLS key, with these names and addresses."""
        number = certificate_number(os.urandom(16))
        spki = self.reader.public_key("service")
        ca = access_ca(self.reader, self._signers["access-ca"])
        return ca.issue_server(hosts=hosts, spki=spki, number=number, now=self.clock())

    def station(self, name: str) -> InProcessAuthority:
        """The authority as the station of this name sees it. Raises :class:`InputError` for a name of nobody, the
        owner's or the unit's: requests, units and evidence belong to the names under which they were made."""
        if name in ("", OWNER, UNIT):
            raise InputError(f"a station cannot be named {name!r}", next_step="Choose another name")
        return InProcessAuthority(
            kernel=self._kernel,
            store=self.reader.store,
            catalogue=self.reader.catalogue,
            boot_key=self.boot_key,
            station=name,
        )

    def read(self, view: View, **names: str) -> dict[str, Any]:
        """As :meth:`imprint.protocol.person_port.Views.read`."""
        return self.reader.read(view, **names)

    def crl(self) -> bytes:
        """As :meth:`imprint.protocol.person_port.PersonPort.crl`."""
        return self.reader.crl()

    def access_ca(self) -> bytes:
        """As :meth:`imprint.protocol.person_port.PersonPort.access_ca`."""
        return self.reader.access_ca()

    def request(self, command: Command) -> object:
        """What a rule decides for this command. Raises :class:`InputError` for a product that is none."""
        match command:
            case commands.AddProduct(file=file):
                return DefineProduct(definition=Product.from_yaml(file.encode(), name="product").definition())
            case commands.CloseLot(lot=lot):
                return CloseLotUnder(lot=lot, checkpoint=self.checkpoint().note)
            case _:
                return command

    def command(self, command: Command | Prepared) -> str:
        """Decide an owner's command; the state that it led to. Raises :class:`RefusedError`, and :class:`StorageError`
        when the outcome is unknown."""
        decided = command if isinstance(command, Prepared) else self.request(command)
        ask = Ask(actor=OWNER, request_id=secrets.token_hex(16), body=repr(decided).encode(), request=decided)
        try:
            result = self._kernel.decide(ask).result
        except StorageError:  # the commit may have failed after it was kept: the same ID gets the same decision
            result = self._kernel.decide(ask).result
        if isinstance(result, Refused):
            raise RefusedError(result.message, code=result.code, next_step=result.next_step)
        if not isinstance(result, Done):
            raise AssertionError(f"a command leads to a state, not to {result.kind}")
        return result.state

    def seal(self, payload: bytes, *, version: str, security_counter: int) -> bytes:
        """A payload as a signed image (:func:`imprint.authority.releases.seal.seal`)."""
        return seal(payload, version=version, security_counter=security_counter, signer=self._signers["firmware"])

    def checkpoint(self) -> SignedCheckpoint:
        """Integrate all that is committed; the signed head, also kept outside the database. Raises
        :class:`LedgerError` when the ledger goes on under another name."""
        with self._store.reading() as store:
            self._refuse_ended(store)
            head = self._tree.head()
            start = head.size if head else 0
            head = self._tree.integrate(start, (data for _, data, _ in store.entries(start)))
        self.keep_copy(head)
        return head

    def keep_copy(self, head: SignedCheckpoint) -> None:
        """Another process may be ahead of this one: the copy only grows."""
        copy = self.reader.workspace.checkpoint_copy
        if copy is None:
            return
        with TileFolder(self.reader.workspace.ledger).lock():
            with self._store.reading() as store:
                self._refuse_ended(store)
            kept = self.reader.checkpoint_copy()
            if kept is None or kept.size < head.size:
                write_file(copy, head.note)

    def _admit(self, store: Reading, ask: Ask) -> None:
        """In the transaction that decides: another process may have ended this log's name since we began."""
        self._refuse_ended(store)
        admit(store, ask)

    def _refuse_ended(self, store: Reading) -> None:
        if has_ended(store, self.reader.workspace.origin):
            raise LedgerError(
                f"the ledger {self.reader.workspace.origin} has ended, and goes on under another name",
                subject="database",
                next_step="Nothing was issued. Start this program again",
            )

    def close(self) -> None:
        """Finish what was asked, and make a checkpoint over it."""
        self._kernel.close()
        try:
            self.checkpoint()
        finally:
            self.reader.store.close()  # first: the last to close empties the write-ahead log, and must be able to write
            self._store.close()


@contextmanager
def open_platform(
    folder: Path, passphrase: Callable[[], bytes], *, keys: Sequence[str] = DECIDING, clock: Clock = system_clock
) -> Iterator[Platform]:
    """Open a workspace for deciding; ``passphrase`` is asked once. On exit everything is under a checkpoint. Opening a
    key takes a tenth of a second, so those that only a service needs are not among the default ``keys``.

    Raises :class:`imprint.errors.LedgerError` when the database is older than a checkpoint that is kept outside it.
    """
    reader = open_reader(folder)
    reader.refuse_rollback()
    signers = open_signers(reader.workspace, passphrase(), keys)
    platform = Platform(reader, signers, clock)
    try:
        yield platform
    finally:
        platform.close()


def open_signers(workspace: Workspace, passphrase: bytes, names: Sequence[str]) -> dict[str, Signer]:
    """The private keys of these names. Raises :class:`WorkspaceError` for one that is not that of its public half, and
    :class:`imprint.errors.PassphraseError`."""
    signers: dict[str, Signer] = {}
    for name in names:
        signers[name] = open_signer(
            workspace.keys[name],
            read=lambda path: read_file(workspace.folder / path, limit=_KEY_LIMIT),
            secret=lambda _: passphrase,
        )
        public = decode_public_pem(read_file(workspace.public_key(name), limit=_KEY_LIMIT))
        if signers[name].public_key != public:
            raise WorkspaceError(
                "the private key is not that of its public half",
                subject=f"key {name}",
                next_step="Restore the keys folder from one backup",
            )
    return signers


def _rules(reader: Reader, signers: Mapping[str, Signer]) -> dict[type, Rule]:
    catalogue = reader.catalogue
    ca = DeviceCa(signer=signers["device-ca"], chain=reader.chain())
    boot_key = signers["firmware"].public_key
    rules: dict[type, Any] = {
        intentions.ClaimUnit: ClaimRule(catalogue),
        intentions.TakeOverUnit: TakeOverRule(catalogue),
        intentions.CertifyKey: CertifyRule(catalogue, ca),
        intentions.PermitStep: PermitRule(catalogue),
        intentions.CompleteUnit: CompleteRule(catalogue, signers["record"], boot_key),
        intentions.ReleaseUnit: ReleaseRule(catalogue),
        intentions.QuarantineUnit: QuarantineRule(catalogue),
        DefineProduct: AddProductRule(),
        commands.CreateLot: CreateLotRule(catalogue, ca.chain),
        CloseLotUnder: CloseLotRule(catalogue, signers["record"], reader.open_checkpoint),
        commands.RefundUnits: RefundRule(catalogue),
        commands.ExpireClaims: ExpireClaimsRule(catalogue),
        commands.ScrapUnit: ScrapRule(),
        commands.RevokeUnit: RevokeRule(),
        commands.ReworkUnit: ReworkRule(),
        commands.ClearUnit: ClearRule(),
        commands.AddRelease: AddReleaseRule(boot_key),
        commands.InviteAccount: InviteRule(reserved=frozenset((OWNER, UNIT))),
        commands.SuspendAccount: SuspendRule(),
        commands.ResumeAccount: ResumeRule(),
        commands.SignCrl: SignCrlRule(ca),
    }
    if "access-ca" in signers:
        rules[Enrolment] = EnrolRule(access_ca(reader, signers["access-ca"]))
    return rules


def access_ca(reader: Reader, signer: Signer) -> AccessCa:
    """The CA of accounts and of the service's own certificate."""
    return AccessCa(signer=signer, certificate=reader.access_ca(), organization=reader.workspace.organization)


def admit(store: Reading, ask: Ask) -> None:
    """Whoever is on this machine and has the passphrase may ask; whoever comes with a certificate must have an account
    with it."""
    if ask.certificate is not None and find_account(store, ask.certificate).name != ask.actor:
        raise AccessError("the certificate is another account's", subject=ask.actor)
