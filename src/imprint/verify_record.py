"""Checking a birth record without the authority: what the next party does with an export."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from imprint.authority.production.entries import UNIT_COMPLETED
from imprint.authority.production.export import CRL
from imprint.authority.recovery.entries import UNIT_RECOVERED
from imprint.encoding import parse_json_object, sha256_hex
from imprint.errors import FormatError, InputError, LedgerError
from imprint.formats import birth_record, mcuboot, reconciliation
from imprint.formats.birth_record import BirthRecord
from imprint.formats.checkpoint import SignedCheckpoint
from imprint.formats.crl import RevocationList, Revoked, decode_pem, open_crl
from imprint.formats.dsse import IN_TOTO, open_envelope, parse_envelope
from imprint.formats.mcuboot import Image
from imprint.formats.note import VerifierKey, parse_vkey
from imprint.formats.reconciliation import Reconciliation
from imprint.formats.tlog_proof import parse_proof, verify_proof
from imprint.formats.x509 import is_issued_by, parse_ca_certificate, public_key_of
from imprint.keys.verify import decode_public_pem
from imprint.reader import Reader
from imprint.storage.files import read_file, read_file_if_any

MAX_FILE = 1 << 20
MAX_CRL = 1 << 26  # a million revoked certificates
_HARDWARE_MODULE_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a checker believes beforehand: certificates in DER, keys as SPKI in DER, and the ledger's key.

    Raises :class:`LedgerError` unless ``ca`` was issued by ``root``, :class:`InputError` unless both may issue.
    """

    root: bytes
    ca: bytes
    record_key: bytes
    firmware_key: bytes
    ledger_key: VerifierKey

    def __post_init__(self) -> None:
        for authority in (self.ca, self.root):
            parse_ca_certificate(authority)  # a unit's certificate is issued under the root as well, and may not issue
        if not (is_issued_by(self.ca, self.root) and is_issued_by(self.root, self.root)):
            raise LedgerError("the device CA was not issued by the root", subject="ca.pem")


def trust_of_export(folder: Path) -> Trust:
    """What an export says of itself. Compare ``root.pem`` and ``ledger/vkey`` with what the owner told you."""

    def read(name: str) -> bytes:
        return read_file(folder / name, limit=MAX_FILE)

    return Trust(
        root=_certificate(read("root.pem"), "root.pem"),
        ca=_certificate(read("ca.pem"), "ca.pem"),
        record_key=decode_public_pem(read("record-key.pem")),
        firmware_key=decode_public_pem(read("firmware-key.pem")),
        ledger_key=parse_vkey(read("ledger/vkey").decode(errors="replace").strip()),
    )


def trust_of_workspace(reader: Reader) -> Trust:
    """What the workspace's own files say."""
    ca, root = reader.chain()
    return Trust(
        root=root,
        ca=ca,
        record_key=reader.public_key("record"),
        firmware_key=reader.public_key("firmware"),
        ledger_key=reader.ledger_key,
    )


def open_record(trust: Trust, record: bytes, certificate: bytes) -> BirthRecord:
    """The record, signed by the record key, about this certificate (DER), which the device CA issued.

    Raises :class:`InputError` for a bad signature or form, :class:`LedgerError` for a mismatch.
    """
    payload = open_envelope(parse_envelope(record), [trust.record_key], payload_type=IN_TOTO)
    found = birth_record.decode(payload)
    if sha256_hex(certificate) != found.certificate_sha256:
        raise LedgerError("the certificate is not the one in the record", subject=found.serial)
    if not is_issued_by(certificate, trust.ca):
        raise LedgerError("the certificate was not issued by the device CA", subject=found.serial)
    if named_in(certificate) != (found.serial, found.hardware_id, found.key.spki_sha256):
        raise LedgerError("the certificate names another unit or key than the record", subject=found.serial)
    return found


def named_in(certificate: bytes) -> tuple[str, str, str]:
    """Serial number, hardware ID and hash of the key in an identity that :func:`is_issued_by` has read."""
    parsed = x509.load_der_x509_certificate(certificate)
    serials = [str(one.value) for one in parsed.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)]
    names = [
        name.value
        for extension in parsed.extensions
        if isinstance(extension.value, x509.SubjectAlternativeName)
        for name in extension.value.get_values_for_type(x509.OtherName)
        if name.type_id == _HARDWARE_MODULE_NAME
    ]
    # HardwareModuleName (RFC 4108 section 5) is an OID and an OCTET STRING of less than 128 bytes, so each length is
    # one byte and the hardware ID is what follows the OID and two bytes more.
    hardware_ids = [value[6 + value[3] :].hex() for value in names if len(value) > 3]
    return ",".join(serials), ",".join(hardware_ids), sha256_hex(public_key_of(certificate))


def check_firmware(found: BirthRecord, releases: Mapping[str, Image]) -> None:
    """Raise :class:`LedgerError` unless the record's firmware is one of these verified images, by their SHA-256."""
    image = releases.get(found.firmware.image_sha256)
    if image is None:
        raise LedgerError("the firmware of the record is not among the releases", subject=found.serial)
    said = (found.firmware.image_hash, found.firmware.version, found.firmware.security_counter)
    if said != (image.image_hash.hex(), str(image.version), image.security_counter):
        raise LedgerError("the release is not what the record says of it", subject=found.serial)


def releases_of_export(trust: Trust, folder: Path) -> dict[str, Image]:
    """The images of an export by their SHA-256, each verified as a boot loader would.

    Raises :class:`InputError` for one that would not boot.
    """
    images = {}
    for path in sorted((folder / "releases").glob("*.bin")):
        data = read_file(path)
        try:
            images[sha256_hex(data)] = mcuboot.verify(data, trust.firmware_key, least_security_counter=0)
        except InputError as problem:
            raise InputError(f"a unit would refuse it: {problem.what}", subject=str(path)) from None
    return images


def sum_of_export(trust: Trust, folder: Path) -> Reconciliation:
    """The lot's signed sum. Raises :class:`InputError` for a bad signature or form."""
    envelope = parse_envelope(read_file(folder / "reconciliation.json", limit=MAX_FILE))
    return reconciliation.decode(open_envelope(envelope, [trust.record_key], payload_type=IN_TOTO))


def crl_of_export(trust: Trust, folder: Path) -> RevocationList | None:
    """The revocation list of an export, signed by the device CA; None when it came without one.

    Raises :class:`InputError` for a bad signature or form. Whoever has a newer list puts it in the place of this one.
    """
    pem = read_file_if_any(folder / CRL, limit=MAX_CRL)
    return None if pem is None else open_crl(decode_pem(pem), trust.ca)


def revoked_in(crl: RevocationList | None, certificate: bytes) -> Revoked | None:
    """The line of the list about this certificate (DER), or None."""
    number = x509.load_der_x509_certificate(certificate).serial_number
    return next((one for one in crl.revoked if one.number == number), None) if crl is not None else None


def verify_inclusion(trust: Trust, record: bytes, proof: bytes) -> SignedCheckpoint:
    """The checkpoint under which the record's completion is logged. ``proof`` is a tlog-proof with the entry in it.

    Raises :class:`LedgerError` or :class:`FormatError`.
    """
    parsed = parse_proof(proof)
    if parsed.extra is None:
        raise FormatError("the proof does not carry the entry", subject="proof")
    checkpoint = verify_proof(parsed, parsed.extra, [trust.ledger_key], origin=trust.ledger_key.name)
    entry = parse_json_object(parsed.extra, subject="entry")
    if entry.get("type") not in (UNIT_COMPLETED, UNIT_RECOVERED) or entry.get("body") != {"record": sha256_hex(record)}:
        raise LedgerError("the entry in the proof is not about this record", subject=f"entry {parsed.index}")
    return checkpoint


def verify_exported_unit(
    trust: Trust, releases: Mapping[str, Image], folder: Path
) -> tuple[BirthRecord, SignedCheckpoint]:
    """One unit of an export: its three files and its firmware, checked against each other and against ``trust``.

    Raises as the functions above do, with the unit's folder in the subject.
    """
    record = read_file(folder / "record.json", limit=MAX_FILE)
    proof = read_file(folder / "record.tlog-proof", limit=MAX_FILE)
    try:
        found = open_record(trust, record, exported_certificate(folder))
        if found.serial != folder.name:
            raise LedgerError("the record is another unit's", subject=found.serial)
        check_firmware(found, releases)
        return found, verify_inclusion(trust, record, proof)
    except (InputError, LedgerError) as problem:
        problem.subject = f"{folder}, {problem.subject}"
        raise


def exported_certificate(folder: Path) -> bytes:
    """The certificate (DER) of one unit of an export."""
    return _certificate(read_file(folder / "cert.pem", limit=MAX_FILE), str(folder / "cert.pem"))


def _certificate(pem: bytes, subject: str) -> bytes:
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except (ValueError, x509.InvalidVersion):
        raise FormatError("not a certificate in PEM", subject=subject) from None
