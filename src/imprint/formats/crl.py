"""Certificate revocation lists (RFC 5280 section 5): assembled by us as certificates are, read through the library."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from imprint.errors import FormatError, InputError
from imprint.formats import der
from imprint.formats.x509 import SIGNATURE_ALGORITHMS, Issuer, authority_key_id, extension

_V2: Final = der.integer(1)
_OID_CRL_NUMBER: Final = der.oid("2.5.29.20")
_OID_REASON_CODE: Final = der.oid("2.5.29.21")
_CRL: Final = "revocation list"


@unique
class Reason(StrEnum):
    """Why a certificate is revoked (RFC 5280 section 5.3.1), where units are revoked for good."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"


_CODES: Final = {
    Reason.KEY_COMPROMISE: 1,
    Reason.AFFILIATION_CHANGED: 3,
    Reason.SUPERSEDED: 4,
    Reason.CESSATION_OF_OPERATION: 5,
    Reason.PRIVILEGE_WITHDRAWN: 9,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A line of a list: the certificate's serialNumber, when it ended and why."""

    number: int
    time: datetime
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """A list whose signature was checked. ``revoked`` is in the order of the certificates' numbers."""

    number: int
    this_update: datetime
    next_update: datetime
    revoked: tuple[Revoked, ...]


def crl_tbs(
    issuer: Issuer, *, number: int, this_update: datetime, next_update: datetime, revoked: Iterable[Revoked]
) -> bytes:
    """The TBSCertList of a complete list, version 2 (RFC 5280 section 5.1). Equal inputs give equal bytes, in whatever
    order ``revoked`` comes. Raises :class:`InputError` for a list that ends before it begins."""
    if next_update <= this_update:
        raise InputError("it would end before it begins", subject=_CRL)
    lines = [_line(one) for one in sorted(revoked, key=lambda one: one.number)]
    extensions = authority_key_id(issuer) + extension(_OID_CRL_NUMBER, der.integer(number))
    return der.sequence(
        _V2,
        SIGNATURE_ALGORITHMS[issuer.algorithm],
        issuer.name,
        der.time(this_update),
        der.time(next_update),
        der.sequence(*lines) if lines else b"",  # an empty list is left out (section 5.1.2.6)
        der.explicit(0, der.sequence(extensions)),
    )


def _line(one: Revoked) -> bytes:
    # A reason that is not specified is left out (section 5.3.1).
    code = _CODES.get(one.reason)
    reason = der.sequence(extension(_OID_REASON_CODE, der.enumerated(code))) if code is not None else b""
    return der.sequence(der.integer(one.number), der.time(one.time), reason)


def open_crl(crl: bytes, ca: bytes) -> RevocationList:
    """A list (DER), after its signature was checked with the key of the certificate ``ca`` (DER), which it must name.

    Raises :class:`FormatError` for what is not such a list, :class:`InputError` when it is not the CA's.
    """
    issuer = x509.load_der_x509_certificate(ca)
    try:
        parsed = x509.load_der_x509_crl(crl)
        signed = parsed.issuer == issuer.subject and parsed.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
        if parsed.next_update_utc is None:
            raise ValueError("no next update")
        found = RevocationList(
            number=parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number,
            this_update=parsed.last_update_utc,
            next_update=parsed.next_update_utc,
            revoked=tuple(map(_revoked, parsed)),
        )
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound, x509.DuplicateExtension):
        raise FormatError("not a list of version 2 in DER", subject=_CRL) from None
    if not signed:
        raise InputError(
            "not signed by the device CA", subject=_CRL, next_step="Get the list again from whoever made the units"
        )
    return found


def _revoked(line: x509.RevokedCertificate) -> Revoked:
    try:
        reason = Reason(line.extensions.get_extension_for_class(x509.CRLReason).value.reason.value)
    except x509.ExtensionNotFound:
        reason = Reason.UNSPECIFIED
    return Revoked(number=line.serial_number, time=line.revocation_date_utc, reason=reason)


def encode_pem(crl: bytes) -> bytes:
    """PEM (RFC 7468) of a list in DER."""
    return x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM)


def decode_pem(pem: bytes) -> bytes:
    """DER of a list in PEM, or :class:`FormatError`."""
    try:
        return x509.load_pem_x509_crl(pem).public_bytes(Encoding.DER)
    except ValueError:
        raise FormatError("not a revocation list in PEM", subject=_CRL) from None
