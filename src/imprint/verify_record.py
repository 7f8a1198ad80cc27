"""Checking a birth record without the authority: what the next party does with an export."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from imprint.assemble import Reader
from imprint.authority.production.entries import UNIT_COMPLETED
from imprint.encoding import parse_json_object, sha256_hex
from imprint.errors import FormatError, LedgerError
from imprint.formats import birth_record
from imprint.formats.birth_record import BirthRecord
from imprint.formats.checkpoint import SignedCheckpoint
from imprint.formats.dsse import IN_TOTO, open_envelope, parse_envelope
from imprint.formats.note import VerifierKey, parse_vkey
from imprint.formats.tlog_proof import parse_proof, verify_proof
from imprint.formats.x509 import is_issued_by
from imprint.keys.verify import decode_public_pem
from imprint.storage.files import read_file

MAX_FILE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a checker believes beforehand: certificates in DER, keys as SPKI in DER, and the ledger's key."""

    root: bytes
    ca: bytes
    record_key: bytes
    ledger_key: VerifierKey


def trust_of_export(folder: Path) -> Trust:
    """What an export says of itself. Compare ``root.pem`` and ``ledger/vkey`` with what the owner told you."""

    def read(name: str) -> bytes:
        return read_file(folder / name, limit=MAX_FILE)

    return Trust(
        root=_certificate(read("root.pem"), "root.pem"),
        ca=_certificate(read("ca.pem"), "ca.pem"),
        record_key=decode_public_pem(read("record-key.pem")),
        ledger_key=parse_vkey(read("ledger/vkey").decode(errors="replace").strip()),
    )


def trust_of_workspace(reader: Reader) -> Trust:
    """What the workspace's own files say."""
    ca, root = reader.chain()
    return Trust(root=root, ca=ca, record_key=reader.public_key("record"), ledger_key=reader.ledger_key)


def open_record(trust: Trust, record: bytes, certificate: bytes) -> BirthRecord:
    """The record, signed by the record key, about this certificate (DER), which chains to the root.

    Raises :class:`imprint.errors.InputError` for a bad signature or form, :class:`LedgerError` for a mismatch.
    """
    payload = open_envelope(parse_envelope(record), [trust.record_key], payload_type=IN_TOTO)
    found = birth_record.decode(payload)
    if sha256_hex(certificate) != found.certificate_sha256:
        raise LedgerError("the certificate is not the one in the record", subject=found.serial)
    if not (is_issued_by(certificate, trust.ca) and is_issued_by(trust.ca, trust.root)):
        raise LedgerError("the certificate does not chain to the root", subject=found.serial)
    parsed = x509.load_der_x509_certificate(certificate)
    serial = parsed.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)[0].value
    spki = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if serial != found.serial or sha256_hex(spki) != found.key.spki_sha256:
        raise LedgerError("the certificate names another unit or key than the record", subject=found.serial)
    return found


def verify_inclusion(trust: Trust, record: bytes, proof: bytes) -> SignedCheckpoint:
    """The checkpoint under which the record's completion is logged. ``proof`` is a tlog-proof with the entry in it.

    Raises :class:`LedgerError` or :class:`FormatError`.
    """
    parsed = parse_proof(proof)
    if parsed.extra is None:
        raise FormatError("the proof does not carry the entry", subject="proof")
    checkpoint = verify_proof(parsed, parsed.extra, [trust.ledger_key], origin=trust.ledger_key.name)
    entry = parse_json_object(parsed.extra, subject="entry")
    if entry.get("type") != UNIT_COMPLETED or entry.get("body") != {"record": sha256_hex(record)}:
        raise LedgerError("the entry in the proof is not about this record", subject=f"entry {parsed.index}")
    return checkpoint


def verify_exported_unit(trust: Trust, folder: Path) -> tuple[BirthRecord, SignedCheckpoint]:
    """One unit of an export, its three files checked against each other and against ``trust``."""
    record = read_file(folder / "record.json", limit=MAX_FILE)
    certificate = _certificate(read_file(folder / "cert.pem", limit=MAX_FILE), str(folder / "cert.pem"))
    found = open_record(trust, record, certificate)
    return found, verify_inclusion(trust, record, read_file(folder / "record.tlog-proof", limit=MAX_FILE))


def exported_certificate(folder: Path) -> bytes:
    """The certificate (DER) of one unit of an export."""
    return _certificate(read_file(folder / "cert.pem", limit=MAX_FILE), str(folder / "cert.pem"))


def _certificate(pem: bytes, subject: str) -> bytes:
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except ValueError:
        raise FormatError("not a certificate in PEM", subject=subject) from None
