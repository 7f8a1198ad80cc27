"""A factory without hardware and without the cost of encrypted keys: a workspace, a clock that is set by hand, and
stations that ask one question at a time."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from imprint.assemble import CHANGES, Platform, admit, entry_changes
from imprint.authority.access.account import Role
from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.kernel import Ask, Kernel
from imprint.authority.decisions.outcome import Event, Moment, Outcome
from imprint.authority.decisions.transaction import Reading
from imprint.authority.issuance.access_ca import make_access_ca
from imprint.authority.issuance.issuer import make_device_ca, make_root
from imprint.authority.ledger.envelope import OpenedEntry, open_entry
from imprint.authority.ledger.tree import Tree
from imprint.authority.production.commands import DefineProduct
from imprint.authority.production.entries import UNIT_CLAIMED
from imprint.authority.production.product import Product
from imprint.encoding import sha256_hex
from imprint.errors import RefusedError
from imprint.formats.note import ed25519_key
from imprint.keys.file import FileSigner
from imprint.keys.verify import encode_public_pem
from imprint.protocol.answers import (
    Answer,
    Certified,
    Challenged,
    Claimed,
    Completed,
    Done,
    Enrolled,
    Permitted,
    Refused,
)
from imprint.protocol.commands import AddRelease, CreateLot, InviteAccount
from imprint.protocol.enrolment import Enrolment
from imprint.protocol.intentions import (
    Action,
    CertifyKey,
    ClaimUnit,
    CompleteUnit,
    Intention,
    KeyOrigin,
    PermitStep,
    QuarantineUnit,
    ReleaseUnit,
)
from imprint.protocol.port import AuthorityPort
from imprint.reader import Reader, open_reader
from imprint.storage.database import Database
from imprint.storage.replay import replay
from imprint.storage.schema import create_database
from imprint.storage.tile_folder import TileFolder
from imprint.storage.workspace import KEY_NAMES, settings_text
from imprint.testing.soft_station import RefusedHere, SoftStation, expect, observations
from imprint.testing.soft_unit import SoftUnit, new_key
from imprint.testing.stores import BreakingStore

ORIGIN = "example.com/ledger"
START = datetime(2026, 11, 21, 11, 37, 7, 123000, tzinfo=UTC)
LEASE = timedelta(minutes=60)
LOT = "lot-1"
GRANT = 3
REFUNDS = 2
PRODUCT = b"""\
product: lamp
identity: {name: lamp-idevid, key_algorithm: ed25519, key_origin: device, organization: Example,
  hardware_type: 1.3.6.1.4.1.32473.1}
serials: {made: "SN-", width: 4}
values:
  mac: {kind: eui48, first: "02:00:5e:00:00:01", count: 1000}
"""
OTHER_PRODUCT = PRODUCT.replace(b"lamp", b"toy").replace(b"SN-", b"TOY-").replace(b"5e:00", b"5e:01")
OTHER_LOT = "lot-2"
RECIPE = "recipe: of the tests\n"
P256 = ("device-ca", "firmware", "access-ca", "service")
SIGNERS = {name: FileSigner(new_key("p256" if name in P256 else "ed25519")) for name in KEY_NAMES}
_ROOT = FileSigner(new_key())
_numbers = count(1)

T = TypeVar("T")


class SetClock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        """Later, or earlier, than before."""
        self.now += by


def build_workspace(folder: Path) -> None:
    """What ``make_workspace.create`` makes, but for the encrypted private keys: those are in ``SIGNERS``."""
    for name in ("keys", "certs", "ledger"):
        (folder / name).mkdir(parents=True)
    (folder / "imprint.toml").write_bytes(settings_text(organization="Example", origin=ORIGIN))
    for name in KEY_NAMES:
        (folder / "keys" / f"{name}.pub.pem").write_bytes(encode_public_pem(SIGNERS[name].public_key))
    key = ed25519_key(ORIGIN, SIGNERS["ledger"].public_key[-32:])
    (folder / "ledger" / "vkey").write_text(f"{key.encode()}\n")
    Tree(TileFolder(folder / "ledger"), key=key, sign=SIGNERS["ledger"].sign).integrate(0, ())
    made = START - timedelta(days=1)
    root = make_root(_ROOT, organization="Example", number=1, not_before=made)
    spki = SIGNERS["device-ca"].public_key
    ca = make_device_ca(_ROOT, root, spki=spki, organization="Example", number=2, not_before=made)
    access = make_access_ca(SIGNERS["access-ca"], organization="Example", number=3, not_before=made)
    for name, certificate in (("root", root), ("ca", ca), ("access-ca", access)):
        (folder / "certs" / f"{name}.pem").write_bytes(_pem(certificate))
    create_database(folder / "imprint.db")


def _pem(certificate: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_der_x509_certificate

    return load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)


def new_unit(**settings: Any) -> SoftUnit:
    """A unit like no other: an Ed25519 key and a hardware ID of its own, unless they are given."""
    return SoftUnit(**{"hardware_id": next(_numbers).to_bytes(8, "big"), "key": new_key("ed25519"), **settings})


@dataclass(slots=True, kw_only=True)
class Factory:
    """A workspace that decides, and what a test wants to know of it."""

    folder: Path
    clock: SetClock
    platform: Platform
    _loops: list[asyncio.Runner] = field(default_factory=list)

    @property
    def reader(self) -> Reader:
        """The platform's own."""
        return self.platform.reader

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.reader.workspace.database

    def add_product(self, yaml: bytes = PRODUCT) -> None:
        """A product from its file."""
        definition = Product.from_yaml(yaml, name="product.yaml").definition()
        assert self.platform.command(DefineProduct(definition=definition)) == "added"

    def add_release(
        self, *, product: str = "lamp", role: str = "production", version: str = "1.0.0", counter: int = 2
    ) -> None:
        """A signed image of a small payload."""
        image = self.platform.seal(f"{role} {version} ".encode() * 40, version=version, security_counter=counter)
        self.platform.command(AddRelease(product=product, role=role, image=image))

    def add_lot(self, lot: str = LOT, *, count: int = GRANT, product: str = "lamp", **settings: Any) -> None:
        """A lot of the release 1.0.0."""
        pinned = {"recipe": RECIPE, "recipe_name": "typical.yaml", "firmware": "1.0.0+0", "diagnostic": None}
        lot_wanted = CreateLot(lot=lot, product=product, count=count, **{**pinned, **settings})
        assert self.platform.command(lot_wanted) == "open"

    def bench(self, name: str = "bench-1", *, lot: str = LOT) -> "Bench":
        """A station on a lot."""
        self._loops.append(asyncio.Runner())
        return Bench(self.platform.station(name), name, lot, self._loops[-1])

    def row(self, table: str, **key: Any) -> Row:
        """The one row with this key."""
        with self.reader.store.reading() as store:
            found = store.get(table, **key)
        assert found is not None, (table, key)
        return found

    def rows(self, table: str, **where: Any) -> list[Row]:
        """All rows with these values."""
        with self.reader.store.reading() as store:
            return store.find(table, **where)

    def other_bench(self, more: bytes = b"", yaml: bytes = OTHER_PRODUCT) -> "Bench":
        """A station on a lot of another product, with these lines in its file."""
        self.add_product(yaml + more)
        self.add_release(product="toy")
        self.add_lot(OTHER_LOT, product="toy")
        return self.bench(lot=OTHER_LOT)

    def unit(self, unit: SoftUnit) -> Row:
        """A unit's row: that of its newest epoch."""
        return self.rows("units", hardware_id=unit.hardware_id.hex())[-1]

    def counts(self, lot: str = LOT) -> dict[str, int]:
        """The columns of a lot that count units, without those at zero."""
        row = self.row("lots", lot=lot)
        names = ("in_work", "shipped", "scrapped", "quarantined")
        return {name: row[name] for name in names if row[name]}

    def entries(self, start: int = 0) -> list[OpenedEntry]:
        """The entries from this one on, opened."""
        with self.reader.store.reading() as store:
            return [open_entry(data, opening, subject=f"{seq}") for seq, data, opening in store.entries(start)]

    def size(self) -> int:
        """How many entries there are."""
        with self.reader.store.reading() as store:
            return store.size()

    def begin_second_epoch(self, unit: SoftUnit) -> None:
        """Claim a released unit as its second epoch. No rule does so yet, so it is forced."""
        claim = next(entry.private for entry in self.entries() if entry.type == UNIT_CLAIMED)
        assert claim["hardware_id"] == unit.hardware_id.hex()
        again = {**claim, "epoch": 2, "first_time": False, "number": "2"}
        with self.lawless() as lawless:
            lawless.log(UNIT_CLAIMED, {name: value for name, value in again.items() if name != "request"})

    def check(self) -> None:
        """The tables are what the ledger says, and the counts what the units' states say."""
        replay(self.database, entry_changes, lambda _: None)
        columns = dict.fromkeys(("claimed", "rework", "certified", "permitted"), "in_work")
        columns |= {"complete": "shipped", "quarantined": "quarantined", "scrapped": "scrapped"}
        with self.reader.store.reading() as store:
            lots, units = store.find("lots"), store.find("units")
        for lot in lots:
            counted = {"in_work": 0, "shipped": 0, "scrapped": 0, "quarantined": 0}
            for unit in units:
                if unit["lot"] == lot["lot"] and unit["state"] not in ("released", "superseded"):
                    counted[columns[unit["state"]]] += 1
            assert counted == {name: lot[name] for name in counted}
            assert sum(counted.values()) <= lot["granted"] + lot["refunded"]
            assert lot["refunded"] <= min(lot["scrapped"], lot["refunds_at_most"])

    @contextmanager
    def refuses(self, code: str) -> Iterator[None]:
        """What is asked inside is refused with this code, and that is logged; no state but what a refusal marks
        changes."""
        before = self.size()
        with pytest.raises((RefusedHere, RefusedError)) as caught:
            yield
        problem = caught.value
        assert isinstance(problem, RefusedHere | RefusedError)
        assert problem.code == code, problem
        logged = self.entries(before)
        assert [entry.type for entry in logged] == ["request.refused"]
        assert logged[-1].private["code"] == code

    def keep_copy(self) -> Path:
        """From now on checkpoints are kept beside the workspace, too; benches must be made anew."""
        copy = self.folder.parent / "imprint-checkpoint"
        copy.write_bytes((self.folder / "ledger" / "checkpoint").read_bytes())
        settings = self.folder / "imprint.toml"
        text = settings.read_text().replace("# checkpoint-copy", "checkpoint-copy").replace("/mnt/elsewhere/", "../")
        settings.write_text(text)
        self.reopen()
        return copy

    def breaking_store(self) -> BreakingStore:
        """The authority's store, which from now on breaks as it is told; until it is started again."""
        return break_store(self.platform)

    def stop(self) -> None:
        """As when the process ends without a word: no checkpoint is made."""
        for loop in self._loops:
            loop.close()
        self._loops.clear()
        self.platform._kernel.close()
        self.reader.store.close()
        self.platform._store.close()

    def reopen(self) -> None:
        """The authority is stopped and started again; benches must be made anew."""
        self.stop()
        self.platform = open_factory(self.folder, self.clock).platform

    @contextmanager
    def lawless(self) -> Iterator["Lawless"]:
        """A kernel on the same database whose rules allow everything: what then still holds, the database holds."""
        store = Database(self.database)
        kernel = Kernel(
            store=store,
            rules={Outcome: _allow},
            changes=CHANGES,
            clock=self.clock,
            random=bytes,
            receipt_signer=SIGNERS["ledger"],
            admit=admit,
        )
        try:
            yield Lawless(kernel)
        finally:
            kernel.close()
            store.close()


def _allow(_: Moment, __: Reading, outcome: Outcome) -> Outcome:
    return outcome


class Lawless:
    """Logs any event, whether or not a rule would make it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def log(self, type_: str, private: dict[str, Any], *, blobs: tuple[bytes, ...] = (), **public: Any) -> None:
        """Decide this event, as the station that the tests use most."""
        outcome = Outcome((Event(type_, private, public, blobs),), Done(state="forced"))
        ask = Ask(actor="bench-1", request_id=f"lawless-{next(_numbers)}", body=b"", request=outcome)
        self._kernel.decide(ask)


def decide(factory: Factory, ask: Ask) -> Answer:
    """What the authority decides; raises what it raises."""
    (found,) = factory.platform.decide_together([ask])
    if isinstance(found, BaseException):
        raise found
    return found


def enrol_account(factory: Factory, name: str, role: Role) -> str:
    """A new account; the SHA-256 of its certificate."""
    code = "A" * 26
    factory.platform.command(InviteAccount(name=name, role=role, code=sha256_hex(code.encode()), hours=1))
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    request = Enrolment(name=name, code=code, csr=csr.public_bytes(Encoding.DER))
    ask = Ask(actor=name, request_id=f"enrol-{next(_numbers)}", body=b"", request=request)
    result = decide(factory, ask).result
    assert isinstance(result, Enrolled)
    return sha256_hex(result.certificate)


class Bench:
    """A station that waits for each answer."""

    def __init__(self, port: AuthorityPort, name: str, lot: str, loop: asyncio.Runner) -> None:
        self.name = name
        self.lot = lot
        self.port = port
        self._run = loop.run
        self.soft = SoftStation(port, self._run(port.lot(lot)), prefix=f"{name}-{next(_numbers)}")

    def ask(self, intention: Intention) -> Answer:
        """Any question, with a new ID."""
        return self._run(self.soft.ask(intention))

    def ask_as(self, request_id: str, intention: Intention) -> Answer:
        """Any question, with this ID."""
        return self._run(self.port.ask(request_id, intention))

    def claim(self, unit: SoftUnit, *, run: str = "run", serial: str | None = None) -> Claimed:
        """As :meth:`SoftStation.claim`."""
        return self._run(self.soft.claim(unit, run=run, serial=serial))

    def challenge(self, unit: SoftUnit, *, run: str = "other run") -> tuple[str, bytes]:
        """Claim a unit that is certified in another run: the claim's request ID, and the challenge that it got."""
        answer = self.ask_as(claim := f"{self.name}-claim-{next(_numbers)}", self.claiming(unit, run))
        return claim, expect(Challenged, answer).challenge

    def clone(self, unit: SoftUnit) -> None:
        """Claim with a board that has the unit's hardware ID and a key of its own: the unit is contested then."""
        board = new_unit(hardware_id=unit.hardware_id)
        answer = self.ask_as(claim := f"{self.name}-clone-{next(_numbers)}", self.claiming(board, claim))
        if isinstance(answer.result, Challenged):
            answer = self.ask(self.soft.taking_over(board, claim, answer.result.challenge))
        assert isinstance(answer.result, Refused)

    def take_over(self, unit: SoftUnit, *, run: str = "run") -> Claimed:
        """As :meth:`SoftStation.take_over`."""
        return self._run(self.soft.take_over(unit, run=run))

    def certify(self, unit: SoftUnit, fence: int = 1) -> Certified:
        """As :meth:`SoftStation.certify`; the unit takes the certificate and the firmware in."""
        certified = self._run(self.soft.certify(unit, fence))
        self.soft.load(unit, certified.certificate)
        return certified

    def permit(self, unit: SoftUnit, fence: int = 1, action: Action = Action.LOCK_DEBUG) -> Permitted:
        """As :meth:`SoftStation.permit`."""
        return self._run(self.soft.permit(unit, fence, action))

    def complete(self, unit: SoftUnit, challenge: bytes, fence: int = 1) -> Completed:
        """As :meth:`SoftStation.complete`."""
        return self._run(self.soft.complete(unit, fence, challenge))

    def release(self, unit: SoftUnit, fence: int = 1, reason: str = "self-test failed") -> str:
        """Give the place back; the state that it led to."""
        held = {"lot": self.lot, "hardware_id": unit.hardware_id.hex(), "fence": fence}
        return self._done(ReleaseUnit(**held, reason=reason))  # type: ignore[arg-type]

    def quarantine(self, unit: SoftUnit, fence: int = 1, reason: str = "went silent") -> str:
        """Set the unit aside; the state that it led to."""
        held = {"lot": self.lot, "hardware_id": unit.hardware_id.hex(), "fence": fence}
        return self._done(QuarantineUnit(**held, reason=reason))  # type: ignore[arg-type]

    def imprint(self, unit: SoftUnit) -> Completed:
        """The whole way."""
        return self._run(self.soft.imprint(unit))

    def to(self, state: str, unit: SoftUnit) -> bytes:
        """Take a new unit to this state; the last challenge."""
        challenge = self.claim(unit).challenge
        if state == "quarantined-early":
            self.quarantine(unit)
        if state in ("claimed", "quarantined-early"):
            return challenge
        challenge = self.certify(unit).challenge
        if state in ("permitted", "complete"):
            challenge = self.permit(unit).challenge
        if state == "complete":
            self.complete(unit, challenge)
        if state == "quarantined":
            self.quarantine(unit)
        return challenge

    def claiming(self, unit: SoftUnit, run: str = "run") -> ClaimUnit:
        """The intention."""
        return ClaimUnit(lot=self.lot, run=run, hardware_id=unit.hardware_id.hex())

    def certifying(self, unit: SoftUnit, fence: int = 1, **changed: Any) -> CertifyKey:
        """The intention."""
        held = {"lot": self.lot, "hardware_id": unit.hardware_id.hex(), "fence": fence}
        honest = CertifyKey(**held, origin=KeyOrigin.DEVICE, csr=unit.csr())  # type: ignore[arg-type]
        return replace(honest, **changed)

    def permitting(
        self, unit: SoftUnit, seen: dict[str, str], action: Action = Action.LOCK_DEBUG, *, fence: int = 1
    ) -> PermitStep:
        """The intention, with what was seen."""
        held = {"lot": self.lot, "hardware_id": unit.hardware_id.hex(), "fence": fence}
        return PermitStep(**held, action=action, observed=observations(seen))  # type: ignore[arg-type]

    def completing(self, unit: SoftUnit, challenge: bytes, **changed: Any) -> CompleteUnit:
        """The intention with an honest station's evidence, but for what is changed."""
        statement, signature = unit.prove(challenge)
        honest = CompleteUnit(
            lot=self.lot,
            hardware_id=unit.hardware_id.hex(),
            fence=1,
            statement=statement,
            signature=signature,
            observed=observations({"debug": "locked", "self-test": "passed"}),
            measurements=(),
        )
        return replace(honest, **changed)

    def must(self, intention: Intention) -> Answer:
        """Ask; raises :class:`RefusedHere` for a refusal."""
        answer = self.ask(intention)
        if isinstance(answer.result, Refused):
            raise RefusedHere(answer.result)
        return answer

    def _done(self, intention: Intention) -> str:
        result = self.must(intention).result
        assert isinstance(result, Done)
        return result.state


def break_store(platform: Platform) -> BreakingStore:
    """Put a store that breaks as it is told between a platform's kernel and its database."""
    platform._kernel._store = store = BreakingStore(platform._store)
    return store


def open_factory(folder: Path, clock: SetClock) -> Factory:
    """A platform on an existing workspace, with the signers of this module."""
    signers = {name: SIGNERS[name] for name in KEY_NAMES}
    return Factory(folder=folder, clock=clock, platform=Platform(open_reader(folder), signers, clock))


def copy_workspace(template: Path, folder: Path) -> Path:
    """A workspace like the template, to be changed."""
    folder.mkdir()
    for name in ("keys", "certs"):  # nothing writes there
        (folder / name).symlink_to(template / name)
    for name in ("imprint.toml", "imprint.db"):
        shutil.copyfile(template / name, folder / name)
    shutil.copytree(template / "ledger", folder / "ledger")
    return folder


@contextmanager
def copied_factory(template: Path, folder: Path) -> Iterator[Factory]:
    """A factory in a copy of a template. At the end, whatever happened in it, tables and ledger agree."""
    factory = open_factory(copy_workspace(template, folder), SetClock())
    try:
        yield factory
        factory.check()
    finally:
        factory.stop()


def make_template(folder: Path) -> Path:
    """A workspace with a product, its release and one lot of ``GRANT`` units and at most ``REFUNDS`` refunds."""
    build_workspace(folder)
    factory = open_factory(folder, SetClock())
    factory.add_product()
    factory.add_release()
    factory.add_lot(refunds_at_most=REFUNDS)
    factory.stop()
    return folder
