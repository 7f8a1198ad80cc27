"""What the stations' journals tell of decisions that the database does not know.

A journal is a file from a party that is not trusted. What it proves (a certificate of our CA, a record of ours, a
receipt of the ledger's key) is taken as proven; a claim that comes with a receipt is taken as the station's word; all
else is reported and not believed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509

from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.claim import latest_unit
from imprint.authority.recovery.entries import LEDGER_RECONCILED
from imprint.authority.recovery.lost_unit import LostClaim, LostIdentity, LostUnit
from imprint.clock import to_text
from imprint.encoding import from_hex, parse_json_object, sha256_hex
from imprint.errors import FormatError, ImprintError, InputError, LedgerError
from imprint.formats import birth_record
from imprint.formats.dsse import IN_TOTO, open_envelope, parse_envelope
from imprint.formats.merkle import leaf_hash
from imprint.formats.receipt import verify_receipt
from imprint.formats.x509 import is_issued_by, parse_serial
from imprint.protocol.answers import Answer, Certified, Claimed, Completed, Done, Refused
from imprint.protocol.codec import decode_answer, decode_intention
from imprint.protocol.intentions import CertifyKey, ClaimUnit, Intention, QuarantineUnit, TakeOverUnit
from imprint.protocol.refusals import Code
from imprint.reader import Reader
from imprint.station.journal_entry import Answered, Asked, Entry, RunStarted, decode_entry
from imprint.storage.files import storage_errors
from imprint.verify_record import Trust, named_in, open_record, trust_of_workspace

_RECONCILED: Final = LEDGER_RECONCILED.encode()
_LONGEST_VALUE: Final = 250  # characters, with its pool's name
_MOST_FENCES: Final = 10_000  # nobody claims one board so often between two backups; there are 2**31
_SUSPICIONS: Final = (Code.ALREADY_CLAIMED, Code.ALREADY_COMPLETE)


@dataclass(slots=True, kw_only=True)
class _Told:
    """What was told of one hardware ID."""

    station: str = ""
    run: str = ""
    fence: int = 0
    contested: bool = False
    quarantined: bool = False
    claims: list[LostClaim] = field(default_factory=list)
    certificates: dict[str, tuple[bytes, str, str]] = field(default_factory=dict)  # SHA-256: DER, lot, origin
    records: dict[str, bytes] = field(default_factory=dict)  # by the SHA-256 of the certificate


class LostDecisions:
    """Reads journals, one after the other. ``unanswered`` counts questions for a place that have no answer."""

    def __init__(self, reader: Reader, store: Reading) -> None:
        self.stations: list[str] = []
        self.findings: list[str] = []
        self.unanswered = 0
        self._key = reader.ledger_key
        self._trust: Final[Trust] = trust_of_workspace(reader)
        self._store = store
        self._known: set[str] = set()
        self._declared_at = ""  # until then, all that was lost has been declared
        for _, data, _ in store.entries():
            self._known.add(leaf_hash(data).hex())
            if _RECONCILED in data:
                entry = parse_json_object(data, subject="entry")
                is_one = entry["type"] == LEDGER_RECONCILED
                self._declared_at = str(entry["time"]) if is_one else self._declared_at
        self._issued = {row["certificate"] for row in store.find("certificates")}
        self._records = {row["record"] for row in store.find("units") if row["record"] is not None}
        self._shown: set[str] = set()
        self._units: dict[str, _Told] = {}

    @property
    def count(self) -> int:
        """How many lost decisions have a receipt."""
        return len(self._shown)

    def read(self, path: Path) -> None:
        """Take a journal, ``STATION.journal``. Raises :class:`FormatError` that names its line when it is damaged,
        :class:`InputError` for another name, :class:`imprint.errors.StorageError` when it cannot be read."""
        if path.suffix != ".journal":
            raise InputError(
                "not a journal", subject=str(path), next_step="Name STATION.journal files, or their folder"
            )
        self.stations.append(path.stem)
        runs: set[str] = set()
        asked: dict[tuple[str, str], Intention] = {}
        for number, line in _lines(path):
            subject = f"{path}:{number}"
            try:
                entry = decode_entry(line, number, subject=subject)
                self._read_entry(path.stem, entry, runs, asked, subject)
            except FormatError as problem:
                raise FormatError(
                    f"the journal is damaged: {problem.what}", subject=subject, next_step=_DAMAGED
                ) from None
        self.unanswered += sum(isinstance(question, ClaimUnit) for question in asked.values())

    def _read_entry(
        self, station: str, entry: Entry, runs: set[str], asked: dict[tuple[str, str], Intention], subject: str
    ) -> None:
        match entry:
            case RunStarted(run=run):
                runs.add(run)
            case Asked(run=run, request=request, body=body):
                asked[run, request] = decode_intention(body.encode(errors="replace"))
            case Answered(run=run, request=request, answer=answer):
                question = asked.pop((run, request), None)
                if question is None or run not in runs:
                    raise FormatError("an answer to no question")
                self._take(station, run, question, decode_answer(answer.encode(errors="replace")), subject)

    def units(self) -> tuple[LostUnit, ...]:
        """All units about which something was lost."""
        found = (self._unit(hardware_id, told) for hardware_id, told in self._units.items())
        return tuple(unit for unit in found if unit is not None)

    # --- one answer ---

    def _take(self, station: str, run: str, question: Intention, answer: Answer, subject: str) -> None:
        if answer.receipt.leaf in self._known:
            self._note_certificate(question, answer)  # a later record may be about it
            return
        has_receipt = self._has_receipt(answer)
        if has_receipt and answer.receipt.time <= self._declared_at:
            self._note_proven(question, answer, subject)
            return
        self._note_proven(question, answer, subject)
        if not has_receipt:
            self.findings.append(f"{subject}: the receipt is false, so the station's word is not taken")
        elif answer.receipt.leaf in self._shown:
            self.findings.append(f"{subject}: the receipt is another decision's, so the station's word is not taken")
        else:
            self._shown.add(answer.receipt.leaf)
            told = self._units.setdefault(question.hardware_id, _Told())
            told.station, told.run = station, run
            self._believe(told, question, answer, subject)

    def _note_proven(self, question: Intention, answer: Answer, subject: str) -> None:
        self._note_certificate(question, answer)
        if isinstance(answer.result, Completed):
            self._note_record(question.hardware_id, answer.result.record, subject)

    def _has_receipt(self, answer: Answer) -> bool:
        receipt = answer.receipt
        try:
            leaf = from_hex(receipt.leaf, subject="leaf")
            verify_receipt(leaf=leaf, time=receipt.time, signature=receipt.signature, key=self._key)
        except (FormatError, LedgerError):
            return False
        return True

    def _believe(self, told: _Told, question: Intention, answer: Answer, subject: str) -> None:
        """The station's word, which only ever uses up, holds back or marks."""
        match question, answer.result:
            case ((ClaimUnit(lot=lot) | TakeOverUnit(lot=lot)), Claimed(serial=serial, values=values, fence=fence)):
                if not _is_plain(serial, values):
                    self.findings.append(f"{subject}: no serial number or value of ours")
                    return
                if fence > self._fence(question.hardware_id) + _MOST_FENCES:
                    self.findings.append(f"{subject}: fence {fence} is none of ours, so it is not taken")
                else:
                    told.fence = max(told.fence, fence)
                told.claims.append(LostClaim(lot=lot, serial=serial, values=values))
            case ((ClaimUnit() | TakeOverUnit()), Refused(code=code)):
                told.contested = told.contested or code in _SUSPICIONS
            case QuarantineUnit(), Done():
                told.quarantined = True

    def _fence(self, hardware_id: str) -> int:
        known = latest_unit(self._store, hardware_id)
        return known["fence"] if known is not None else 0

    def _note_certificate(self, question: Intention, answer: Answer) -> None:
        """A certificate of our CA for this hardware ID. Of another CA's, or unit's, nothing is taken."""
        if not isinstance(answer.result, Certified) or not isinstance(question, CertifyKey):
            return
        certificate = answer.result.certificate
        try:
            ours = is_issued_by(certificate, self._trust.ca) and named_in(certificate)[1] == question.hardware_id
        except ImprintError:
            ours = False
        if not ours:
            self.findings.append(f"{question.hardware_id}: a certificate that our CA did not issue for it")
            return
        told = self._units.setdefault(question.hardware_id, _Told())
        told.certificates[sha256_hex(certificate)] = (certificate, question.lot, question.origin.value)

    def _note_record(self, hardware_id: str, envelope: bytes, subject: str) -> None:
        told = self._units.setdefault(hardware_id, _Told())
        try:
            payload = open_envelope(parse_envelope(envelope), [self._trust.record_key], payload_type=IN_TOTO)
            record = birth_record.decode(payload)
            if record.hardware_id != hardware_id:
                raise FormatError(f"it is about {record.hardware_id}")
            told.records[record.certificate_sha256] = envelope
        except ImprintError as problem:
            self.findings.append(f"{subject}: not a record of ours: {problem.what}")

    # --- one unit ---

    def _unit(self, hardware_id: str, told: _Told) -> LostUnit | None:
        for sha256 in told.records.keys() - told.certificates.keys():
            self._find_certificate(hardware_id, told, sha256)
        identities = [
            self._identity(told, certificate, lot, origin)
            for sha256, (certificate, lot, origin) in told.certificates.items()
            if sha256 not in self._issued or self._is_lost_record(told.records.get(sha256))
        ]
        if not (identities or told.claims or told.contested or told.quarantined):
            return None
        return LostUnit(
            hardware_id=hardware_id,
            station=told.station,
            run=told.run,
            fence=told.fence,
            contested=told.contested,
            quarantined=told.quarantined,
            claims=tuple(told.claims),
            identities=tuple(sorted(identities, key=lambda one: one.not_before)),
        )

    def _is_lost_record(self, envelope: bytes | None) -> bool:
        return envelope is not None and sha256_hex(envelope) not in self._records

    def _find_certificate(self, hardware_id: str, told: _Told, sha256: str) -> None:
        """The record is about a certificate that was issued before the backup, in a run that another one took over."""
        if sha256 in self._issued:
            for row in self._store.find("units", certificate=sha256, hardware_id=hardware_id):
                told.certificates[sha256] = (self._store.blob(sha256), row["lot"], row["origin"])

    def _identity(self, told: _Told, certificate: bytes, lot: str, origin: str) -> LostIdentity:
        parsed = x509.load_der_x509_certificate(certificate)
        serial, _, public_key = named_in(certificate)
        envelope = told.records.get(sha256_hex(certificate))
        record = None if envelope is None else open_record(self._trust, envelope, certificate)
        return LostIdentity(
            certificate=certificate,
            number=f"{parsed.serial_number:x}",
            serial=serial,
            public_key=public_key,
            not_before=to_text(parsed.not_valid_before_utc),
            origin=origin if record is None else record.key.origin,
            lot=lot if record is None else record.lot,
            product=None if record is None else record.product,
            values={} if record is None else record.values,
            record=envelope,
        )


def journals_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The files themselves, and those of the folders. Raises :class:`InputError` for a folder without one."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(path.glob("*.journal"))
        if not found:
            raise InputError("there is no journal here", subject=str(path), next_step="Name the stations' journals")
        yield from found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbers from 1, and lines. A last one without its end was never acted on."""
    with storage_errors(path, "could not be read"), path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield number, line[:-1]


_DAMAGED: Final = "Nothing was decided. Get another copy of this journal, or declare it lost: --lost-journal STATION"


def _is_plain(serial: str, values: dict[str, str]) -> bool:
    """What a pool of ours could have given."""
    try:
        parse_serial(serial)
    except InputError:
        return False
    return all(name.isascii() and len(name) + len(value) <= _LONGEST_VALUE for name, value in values.items())
