"""Certificates for TLS, read by another library."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from imprint.errors import FormatError, InputError
from imprint.formats.public_key import Algorithm
from imprint.formats.tls_certificate import Usage, tls_tbs
from imprint.formats.x509 import Issuer, assemble, distinguished_name

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ISSUER = Issuer(
    name=distinguished_name(organization="Example", common_name="CA"), key_id=b"k" * 20, algorithm=Algorithm.P256
)
SPKI = (
    ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)


def tbs(*hosts: str, usage: Usage = Usage.SERVER, life: timedelta = timedelta(days=1)) -> bytes:
    return tls_tbs(
        ISSUER,
        usage=usage,
        organization="Example",
        common_name="the server",
        hosts=hosts,
        spki=SPKI,
        number=7,
        not_before=NOW,
        not_after=NOW + life,
    )


def parsed(data: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(assemble(data, Algorithm.P256, b"\x30\x06\x02\x01\x01\x02\x01\x01"))


def test_a_servers_names() -> None:
    hosts = ("localhost", "a.example", "127.0.0.1", "::1")
    names = parsed(tbs(*hosts)).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [
        x509.DNSName("localhost"),
        x509.DNSName("a.example"),
        x509.IPAddress(ip_address("127.0.0.1")),
        x509.IPAddress(ip_address("::1")),
    ]


@pytest.mark.parametrize("usage", Usage)
def test_each_has_one_use(usage: Usage) -> None:
    certificate = parsed(tbs(usage=usage))
    found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [each.dotted_string for each in found] == [usage.value]
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


@pytest.mark.parametrize(
    "host", ["", "a b", "-a.example", "a..b", "a_b", "é.example", "a" * 64, f"{'a.' * 130}a", "a\x00.b"]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(FormatError, match="neither a host name nor an IP address"):
        tbs(host)


def test_a_life_has_a_length() -> None:
    with pytest.raises(InputError, match="would end before it begins"):
        tbs(life=timedelta(0))
