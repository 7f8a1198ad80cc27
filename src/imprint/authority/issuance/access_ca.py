"""The CA for TLS between the authority and those who talk to it. No unit has an identity of it, or trusts it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from imprint.authority.issuance.issuer import check_key, check_valid
from imprint.formats.tls_certificate import Usage, tls_tbs
from imprint.formats.x509 import assemble, ca_tbs, distinguished_name, parse_ca_certificate
from imprint.keys.signer import Signer

ACCESS_CA_LIFE: Final = timedelta(days=7305)  # 20 years
CLIENT_LIFE: Final = timedelta(days=365)
SERVER_LIFE: Final = timedelta(days=365)
_SKEW: Final = timedelta(hours=1)  # clocks of the two ends may differ by so much
_SUBJECT: Final = "access CA"


class AccessCa:
    """Issues certificates to clients and servers. Raises :class:`imprint.errors.KeyStoreError` when the signer is not
    the certificate's (DER)."""

    def __init__(self, *, signer: Signer, certificate: bytes, organization: str) -> None:
        self._signer = signer
        self._parsed = parse_ca_certificate(certificate)
        self._organization = organization
        self.certificate = certificate
        check_key(signer, self._parsed, _SUBJECT)

    def issue_client(self, *, common_name: str, spki: bytes, number: int, now: datetime) -> bytes:
        """A client's certificate in DER, good for :data:`CLIENT_LIFE`."""
        return self._issue(Usage.CLIENT, common_name, (), spki, number, now, CLIENT_LIFE)

    def issue_server(self, *, hosts: Sequence[str], spki: bytes, number: int, now: datetime) -> bytes:
        """A server's certificate in DER for these names and addresses, good for :data:`SERVER_LIFE`."""
        return self._issue(Usage.SERVER, "Imprint authority", hosts, spki, number, now, SERVER_LIFE)

    def _issue(
        self,
        usage: Usage,
        common_name: str,
        hosts: Sequence[str],
        spki: bytes,
        number: int,
        now: datetime,
        life: timedelta,
    ) -> bytes:
        check_valid(self._parsed, now, _SUBJECT)
        whole = now.replace(microsecond=0)
        tbs = tls_tbs(
            self._parsed.issuer,
            usage=usage,
            organization=self._organization,
            common_name=common_name,
            hosts=hosts,
            spki=spki,
            number=number,
            not_before=whole - _SKEW,
            not_after=whole + life,
        )
        return assemble(tbs, self._signer.algorithm, self._signer.sign(tbs))


def make_access_ca(signer: Signer, *, organization: str, number: int, not_before: datetime) -> bytes:
    """A self-signed certificate in DER for the signer's key."""
    tbs = ca_tbs(
        None,
        name=distinguished_name(organization=organization, common_name=f"{organization} Access CA"),
        spki=signer.public_key,
        number=number,
        not_before=not_before,
        not_after=not_before + ACCESS_CA_LIFE,
    )
    return assemble(tbs, signer.algorithm, signer.sign(tbs))
