"""Certificates: what is to be signed, assembled by us; requests and vendors' certificates, checked.

A certificate's to-be-signed part (TBS) is a pure function of its inputs: they can be stored before it is signed, and
signing again gives the same identity. Why this is not left to a library's builder:
``docs/adr/0002-certificates-are-assembled-here.md``. What an identity contains: ``docs/formats/idevid.md``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from imprint.encoding import sha256
from imprint.errors import FormatError, InputError, WrongKeyError
from imprint.formats import der
from imprint.formats.profile import Profile
from imprint.formats.public_key import Algorithm, algorithm_of, refuse_weak

_E = TypeVar("_E", bound=x509.ExtensionType)

V3: Final = der.explicit(0, der.integer(2))
_NO_WELL_DEFINED_EXPIRATION: Final = b"\x18\x0f99991231235959Z"  # RFC 5280 section 4.1.2.5
SIGNATURE_ALGORITHMS: Final = {
    Algorithm.P256: der.sequence(der.oid("1.2.840.10045.4.3.2")),  # ecdsa-with-SHA256, RFC 5758 section 3.2
    Algorithm.ED25519: der.sequence(der.oid("1.3.101.112")),  # RFC 8410 section 3
}

_OID_COMMON_NAME: Final = der.oid("2.5.4.3")
_OID_SERIAL_NUMBER: Final = der.oid("2.5.4.5")
_OID_ORGANIZATION: Final = der.oid("2.5.4.10")
_OID_SUBJECT_KEY_ID: Final = der.oid("2.5.29.14")
OID_KEY_USAGE: Final = der.oid("2.5.29.15")
OID_SUBJECT_ALT_NAME: Final = der.oid("2.5.29.17")
_OID_BASIC_CONSTRAINTS: Final = der.oid("2.5.29.19")
_OID_AUTHORITY_KEY_ID: Final = der.oid("2.5.29.35")
_OID_HARDWARE_MODULE_NAME: Final = der.oid("1.3.6.1.5.5.7.8.4")
_OID_MASA_URL: Final = der.oid("1.3.6.1.5.5.7.1.32")

DIGITAL_SIGNATURE: Final = der.bit_string(b"\x80", unused=7)
_KEY_CERT_SIGN_CRL_SIGN: Final = der.bit_string(b"\x06", unused=1)

_CSR: Final = "certificate request"
_CA: Final = "CA certificate"
_VENDOR: Final = "vendor certificate"
_MOST_BYTES: Final = 16 * 1024
# What the library raises for bytes that are not what they should be.
_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension)
_REQUEST_SIGNATURES: Final = {
    Algorithm.P256: SignatureAlgorithmOID.ECDSA_WITH_SHA256,
    Algorithm.ED25519: SignatureAlgorithmOID.ED25519,
}
# Extensions that may be critical in a vendor's certificate, since their meaning cannot make us accept too much.
_UNDERSTOOD: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    }
)

_SERIAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """What a certificate takes from the certificate of its issuer: the subject (Name in DER), the subject key
    identifier and the algorithm of the key that will sign."""

    name: bytes
    key_id: bytes
    algorithm: Algorithm


def parse_serial(text: str) -> str:
    """A unit's serial number as it stands on the label, or :class:`FormatError`.

    1 to 64 of ``A-Z a-z 0-9 . : -``, the first a letter or digit: it fits X.520's PrintableString (which has no
    underscore) and can name a folder.
    """
    if _SERIAL.fullmatch(text) is None:
        raise FormatError(
            "not a serial number",
            subject=repr(text[:80]),
            next_step="Use 1 to 64 letters, digits, dots, colons and dashes, beginning with a letter or digit",
        )
    return text


def certificate_number(random: bytes) -> int:
    """A certificate's serialNumber from 16 random bytes: positive and of one length, 126 random bits (RFC 5280 section
    4.1.2.2 allows 20 bytes)."""
    if len(random) != 16:
        raise FormatError(f"{len(random)} random bytes, not 16", subject="certificate number")
    return int.from_bytes(bytes((0x40 | random[0] & 0x3F,)) + random[1:])


def distinguished_name(*, organization: str, common_name: str) -> bytes:
    """The Name of a certification authority, DER (RFC 5280 section 4.1.2.4)."""
    return der.sequence(
        _attribute(_OID_ORGANIZATION, der.utf8_string(organization)),
        _attribute(_OID_COMMON_NAME, der.utf8_string(common_name)),
    )


def _attribute(kind: bytes, value: bytes) -> bytes:
    return der.set_of(der.sequence(kind, value))


def key_identifier(spki: bytes) -> bytes:
    """20 bytes: SHA-256 of the key's BIT STRING content, cut (RFC 7093 section 2, method 1).

    Raises as :func:`imprint.formats.public_key.algorithm_of` does.
    """
    sizes = {Algorithm.P256: 65, Algorithm.ED25519: 32}
    return sha256(spki[-sizes[algorithm_of(spki)] :])[:20]


def idevid_tbs(
    profile: Profile,
    issuer: Issuer,
    *,
    number: int,
    not_before: datetime,
    serial: str,
    hardware_id: bytes,
    spki: bytes,
) -> bytes:
    """The TBSCertificate of a unit's initial identity (IEEE 802.1AR-2018 section 8; RFC 5280 section 4.1).

    ``number`` is the certificate's own serialNumber, ``serial`` the unit's. Equal inputs give equal bytes. Raises
    :class:`FormatError` for a value that the format cannot hold, :class:`WrongKeyError` when ``spki`` is not a key of
    the profile's algorithm.
    """
    if algorithm_of(spki) is not profile.key_algorithm:
        raise WrongKeyError(f"not a {profile.key_algorithm} key", subject=serial)
    if not 4 <= len(hardware_id) <= 32:
        raise FormatError("a hardware ID has 4 to 32 bytes", subject=hardware_id.hex())
    parts = _prepare(profile, issuer)
    hardware_name = der.sequence(parts.hardware_type, der.octet_string(hardware_id))
    other_name = der.explicit(0, _OID_HARDWARE_MODULE_NAME + der.explicit(0, hardware_name))
    # Not critical: the subject is not empty (RFC 5280 section 4.2.1.6).
    alt_name = extension(OID_SUBJECT_ALT_NAME, der.sequence(other_name))
    return der.sequence(
        V3,
        der.integer(number),
        parts.algorithm_and_issuer,
        der.sequence(der.time(not_before), _NO_WELL_DEFINED_EXPIRATION),
        der.sequence(parts.organization, _attribute(_OID_SERIAL_NUMBER, der.printable_string(parse_serial(serial)))),
        spki,
        der.explicit(3, der.sequence(parts.extensions, alt_name)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What all units of one profile and issuer have in common, in DER."""

    algorithm_and_issuer: bytes
    organization: bytes
    hardware_type: bytes
    extensions: bytes


@lru_cache(maxsize=64)
def _prepare(profile: Profile, issuer: Issuer) -> _Prepared:
    # No basicConstraints: their absence already says "not a CA" (RFC 5280 section 4.2.1.9), IEEE 802.1AR does not ask
    # for them, and a unit's flash is small. No subject key identifier: IEEE 802.1AR-2018 advises against it.
    extensions = authority_key_id(issuer)
    if profile.key_usage:
        extensions += extension(OID_KEY_USAGE, DIGITAL_SIGNATURE, critical=True)
    if profile.masa_url is not None:
        extensions += extension(_OID_MASA_URL, der.ia5_string(profile.masa_url))
    return _Prepared(
        algorithm_and_issuer=SIGNATURE_ALGORITHMS[issuer.algorithm] + issuer.name,
        organization=_attribute(_OID_ORGANIZATION, der.utf8_string(profile.organization)),
        hardware_type=der.oid(profile.hardware_type),
        extensions=extensions,
    )


def ca_tbs(
    issuer: Issuer | None, *, name: bytes, spki: bytes, number: int, not_before: datetime, not_after: datetime
) -> bytes:
    """The TBSCertificate of a certification authority (RFC 5280 sections 4.1 and 4.2).

    Without an issuer it is a self-signed root, with one level of CAs below it at most; with an issuer it is a CA for
    units only. Raises :class:`InputError` for a life that ends before it begins, and as
    :func:`imprint.formats.public_key.algorithm_of` does for ``spki``.
    """
    if not_after <= not_before:
        raise InputError("it would end before it begins", subject=_CA)
    key_id = key_identifier(spki)
    signed_by = issuer or Issuer(name=name, key_id=key_id, algorithm=algorithm_of(spki))
    path_length = 0 if issuer else 1
    extensions = (
        authority_key_id(issuer) if issuer else b"",
        extension(_OID_SUBJECT_KEY_ID, der.octet_string(key_id)),
        extension(_OID_BASIC_CONSTRAINTS, der.sequence(der.boolean(True), der.integer(path_length)), critical=True),
        extension(OID_KEY_USAGE, _KEY_CERT_SIGN_CRL_SIGN, critical=True),
    )
    return der.sequence(
        V3,
        der.integer(number),
        SIGNATURE_ALGORITHMS[signed_by.algorithm],
        signed_by.name,
        der.sequence(der.time(not_before), der.time(not_after)),
        name,
        spki,
        der.explicit(3, der.sequence(*extensions)),
    )


def authority_key_id(issuer: Issuer) -> bytes:
    """The extension that names the issuer's key (RFC 5280 section 4.2.1.1)."""
    return extension(_OID_AUTHORITY_KEY_ID, der.sequence(der.implicit(0, issuer.key_id)))


def extension(kind: bytes, value: bytes, *, critical: bool = False) -> bytes:
    """An Extension (RFC 5280 section 4.1): ``kind`` is an encoded OID, ``value`` the encoding that it holds."""
    # FALSE is the default and is left out (X.690 section 11.5).
    return der.sequence(kind, der.boolean(True) if critical else b"", der.octet_string(value))


def assemble(tbs: bytes, algorithm: Algorithm, signature: bytes) -> bytes:
    """The certificate, or revocation list, in DER: from its TBS and the issuer's signature over it."""
    return der.sequence(tbs, SIGNATURE_ALGORITHMS[algorithm], der.bit_string(signature))


@dataclass(frozen=True, slots=True, kw_only=True)
class CaCertificate:
    """What we need of the certificate of a certification authority; both ends of its life are inside it."""

    issuer: Issuer
    spki: bytes
    not_before: datetime
    not_after: datetime


def parse_ca_certificate(certificate: bytes) -> CaCertificate:
    """A CA's certificate (DER) taken apart; its signature is not looked at.

    Raises :class:`FormatError` for what is not a certificate, not a CA's or without a subject key identifier, and as
    :func:`imprint.formats.public_key.algorithm_of` does for its key.
    """
    parsed, extensions = _read_certificate(certificate, _CA)
    if not _may_issue(extensions):
        raise FormatError("it may not issue certificates", subject=_CA)
    key_id = _find(extensions, x509.SubjectKeyIdentifier)
    if key_id is None:
        raise FormatError("no subject key identifier", subject=_CA)
    spki = _encode_key(parsed.public_key())
    return CaCertificate(
        issuer=Issuer(name=parsed.subject.public_bytes(), key_id=key_id.digest, algorithm=algorithm_of(spki)),
        spki=spki,
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
    )


def check_csr(csr: bytes, *, algorithm: str) -> bytes:
    """The public key (SubjectPublicKeyInfo, canonical DER) in a PKCS#10 request (RFC 2986), after its signature proved
    that the asker holds the private key. Subject and attributes are ignored: the profile decides what a certificate
    says.

    Raises :class:`FormatError` for what is not such a request or is not signed by its own key, :class:`WrongKeyError`
    for a key that is not of ``algorithm``, :class:`imprint.errors.WeakKeyError` for one that can be guessed.
    """
    if len(csr) > _MOST_BYTES:
        raise FormatError(f"{len(csr)} bytes are too many", subject=_CSR)
    try:
        request = x509.load_der_x509_csr(csr)
        spki = _encode_key(request.public_key())
        signed_with = request.signature_algorithm_oid
    except _UNREADABLE:
        raise FormatError("not a PKCS#10 request in DER", subject=_CSR) from None
    found = algorithm_of(spki)
    if found != algorithm:
        raise WrongKeyError(f"a {found} key, but the profile asks for {algorithm}", subject=_CSR)
    if spki not in request.tbs_certrequest_bytes:
        raise FormatError("the public key is not in its canonical encoding", subject=_CSR)
    if signed_with != _REQUEST_SIGNATURES[found]:
        raise FormatError(f"{signed_with.dotted_string} is not how {found} keys sign", subject=_CSR)
    refuse_weak(spki)
    if not _ends_with(csr, request.signature) or not _is_signed_by_its_key(request):
        raise FormatError("not signed by the key in it", subject=_CSR, next_step="Ask the unit for a new request")
    return spki


def _is_signed_by_its_key(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except _UNREADABLE:  # the signature names an algorithm that does not fit the key
        return False


def check_vendor_certificate(certificate: bytes, spki: bytes, roots: Sequence[bytes], *, now: datetime) -> None:
    """Return if a chip vendor's certificate (DER) is for this key, valid ``now``, and issued directly by one of the
    vendor's ``roots`` (DER), itself valid and allowed to issue (RFC 5280 section 6.1, for a path of one).

    Raises :class:`WrongKeyError` when it is for another key, :class:`FormatError` for what is not a certificate,
    :class:`InputError` for any other failed check.
    """
    parsed, extensions = _read_certificate(certificate, _VENDOR)
    if _encode_key(parsed.public_key()) != spki:
        raise WrongKeyError("for another key than the unit's", subject=_VENDOR)
    if unknown := [found.oid.dotted_string for found in extensions if found.critical and found.oid not in _UNDERSTOOD]:
        raise InputError(f"critical extension {unknown[0]} is not understood", subject=_VENDOR)
    if _may_issue(extensions):
        raise InputError("it is a certification authority's, not a chip's", subject=_VENDOR)
    if not parsed.not_valid_before_utc <= now <= parsed.not_valid_after_utc:
        raise InputError("not valid now", subject=_VENDOR, next_step="Check the clock of this machine")
    if not any(_is_vendor_root(root, certificate, now) for root in roots):
        raise InputError(
            "not issued by a root of the vendor",
            subject=_VENDOR,
            next_step="Check the product's vendor roots; if they are right, the chip is not genuine",
        )


def _is_vendor_root(root: bytes, certificate: bytes, now: datetime) -> bool:
    parsed, extensions = _read_certificate(root, "vendor root")
    valid = parsed.not_valid_before_utc <= now <= parsed.not_valid_after_utc
    return valid and _may_issue(extensions) and is_issued_by(certificate, root)


def certificate_pem(certificate: bytes) -> bytes:
    """PEM (RFC 7468) of a certificate in DER. Raises :class:`FormatError` for what is not a certificate."""
    return _read_certificate(certificate, "certificate")[0].public_bytes(Encoding.PEM)


def number_of(certificate: bytes) -> int:
    """A certificate's own serialNumber. Raises :class:`FormatError` for what is not a certificate in DER."""
    return _read_certificate(certificate, "certificate")[0].serial_number


def public_key_of(certificate: bytes) -> bytes:
    """The public key (SubjectPublicKeyInfo, canonical DER) in a certificate of ours."""
    return _encode_key(x509.load_der_x509_certificate(certificate).public_key())


def is_issued_by(certificate: bytes, issuer: bytes) -> bool:
    """Whether ``certificate`` names ``issuer`` and is signed by its key; both in DER.

    Neither lives nor extensions are looked at. Raises :class:`FormatError` for what is not a certificate.
    """
    parsed, _ = _read_certificate(certificate, "certificate")
    parent, _ = _read_certificate(issuer, "issuer's certificate")
    try:
        parsed.verify_directly_issued_by(parent)
    except (InvalidSignature, *_UNREADABLE):
        return False
    return True


def _read_certificate(certificate: bytes, subject: str) -> tuple[x509.Certificate, x509.Extensions]:
    """Everything that the library reads lazily is read here, so that nothing fails later."""
    try:
        if len(certificate) > _MOST_BYTES:
            raise ValueError("too long")
        parsed = x509.load_der_x509_certificate(certificate)
        if not _ends_with(certificate, parsed.signature):
            raise ValueError("signature of broken bytes")
        _ = (
            parsed.public_key(),
            parsed.subject,
            parsed.issuer,
            parsed.not_valid_before_utc,
            parsed.not_valid_after_utc,
        )
        return parsed, parsed.extensions
    except _UNREADABLE:
        raise FormatError("not a certificate in DER", subject=subject) from None


def _ends_with(signed: bytes, signature: bytes) -> bool:
    """The library lets a signature's last bits count as unused when they are zero: another encoding of the same."""
    return signed.endswith(der.bit_string(signature))


def _encode_key(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _may_issue(extensions: x509.Extensions) -> bool:
    constraints = _find(extensions, x509.BasicConstraints)
    usage = _find(extensions, x509.KeyUsage)
    return constraints is not None and constraints.ca and (usage is None or usage.key_cert_sign)


def _find(extensions: x509.Extensions, kind: type[_E]) -> _E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
