"""Certification authorities of our own: the root, and the device CA that gives units their identities and ends them."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from imprint.clock import to_text
from imprint.errors import KeyStoreError
from imprint.formats.crl import Revoked, crl_tbs
from imprint.formats.profile import Profile
from imprint.formats.x509 import (
    CaCertificate,
    assemble,
    ca_tbs,
    distinguished_name,
    idevid_tbs,
    is_issued_by,
    parse_ca_certificate,
)
from imprint.keys.signer import Signer

ROOT_LIFE: Final = timedelta(days=10958)  # 30 years
DEVICE_CA_LIFE: Final = timedelta(days=7305)  # 20 years


class DeviceCa:
    """The CA that issues identities to units.

    ``chain`` holds certificates in DER: its own first, then each one's issuer, the self-signed root last. It is checked
    once, here; raises :class:`KeyStoreError` when the signer is not the key of the first certificate or a certificate
    was not issued by the next, :class:`imprint.errors.FormatError` when one cannot be read.
    """

    def __init__(self, *, signer: Signer, chain: Sequence[bytes]) -> None:
        _check_chain(chain)
        self._signer = signer
        self._certificate = parse_ca_certificate(chain[0])
        self.chain = tuple(chain)
        check_key(signer, self._certificate, "device CA")

    def issue(
        self, *, profile: Profile, number: int, not_before: datetime, serial: str, hardware_id: bytes, spki: bytes
    ) -> bytes:
        """A unit's identity in DER; arguments as in :func:`imprint.formats.x509.idevid_tbs`, and its errors.

        Raises :class:`KeyStoreError` when this CA's own certificate is not valid at ``not_before``, or the signer
        fails.
        """
        check_valid(self._certificate, not_before, "device CA")
        tbs = idevid_tbs(
            profile,
            self._certificate.issuer,
            number=number,
            not_before=not_before,
            serial=serial,
            hardware_id=hardware_id,
            spki=spki,
        )
        return assemble(tbs, self._signer.algorithm, self._signer.sign(tbs))

    def sign_crl(
        self, *, number: int, this_update: datetime, next_update: datetime, revoked: Iterable[Revoked]
    ) -> bytes:
        """A revocation list in DER; arguments as in :func:`imprint.formats.crl.crl_tbs`.

        Raises :class:`KeyStoreError` when this CA's own certificate is not valid at ``this_update``, or the signer
        fails.
        """
        check_valid(self._certificate, this_update, "device CA")
        tbs = crl_tbs(
            self._certificate.issuer, number=number, this_update=this_update, next_update=next_update, revoked=revoked
        )
        return assemble(tbs, self._signer.algorithm, self._signer.sign(tbs))


def make_root(
    signer: Signer, *, organization: str, number: int, not_before: datetime, life: timedelta = ROOT_LIFE
) -> bytes:
    """A self-signed root certificate in DER for the signer's key."""
    tbs = ca_tbs(
        None,
        name=distinguished_name(organization=organization, common_name=f"{organization} Device Root"),
        spki=signer.public_key,
        number=number,
        not_before=not_before,
        not_after=not_before + life,
    )
    return assemble(tbs, signer.algorithm, signer.sign(tbs))


def make_device_ca(
    root_signer: Signer,
    root: bytes,
    *,
    spki: bytes,
    organization: str,
    number: int,
    not_before: datetime,
    life: timedelta = DEVICE_CA_LIFE,
) -> bytes:
    """A device CA's certificate in DER for the key ``spki``, issued by ``root`` (DER).

    Raises :class:`KeyStoreError` when the signer is not the root's, or the root is not valid over the whole life.
    """
    parsed = parse_ca_certificate(root)
    check_key(root_signer, parsed, "root")
    check_valid(parsed, not_before, "root")
    check_valid(parsed, not_before + life, "root")
    tbs = ca_tbs(
        parsed.issuer,
        name=distinguished_name(organization=organization, common_name=f"{organization} Device CA"),
        spki=spki,
        number=number,
        not_before=not_before,
        not_after=not_before + life,
    )
    return assemble(tbs, root_signer.algorithm, root_signer.sign(tbs))


def _check_chain(chain: Sequence[bytes]) -> None:
    if not chain or not all(map(is_issued_by, chain, [*chain[1:], chain[-1]])):
        raise KeyStoreError(
            "its chain of certificates does not hold",
            subject="device CA",
            next_step="Restore ca.pem and root.pem as they were made",
        )


def check_key(signer: Signer, certificate: CaCertificate, subject: str) -> None:
    """Raises :class:`KeyStoreError` when the signer is not that of the certificate."""
    if signer.public_key != certificate.spki:
        raise KeyStoreError(
            "key and certificate do not belong together", subject=subject, next_step="Restore the two from one backup"
        )


def check_valid(certificate: CaCertificate, moment: datetime, subject: str) -> None:
    """Raises :class:`KeyStoreError` when the CA's certificate is not valid at ``moment``."""
    if not certificate.not_before <= moment <= certificate.not_after:
        raise KeyStoreError(
            f"its certificate is valid from {to_text(certificate.not_before)} to {to_text(certificate.not_after)},"
            f" not at {to_text(moment)}",
            subject=subject,
            next_step="Check the clock of this machine; if it is right, make a new CA",
        )
