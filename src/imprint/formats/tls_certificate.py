"""Certificates for TLS between an authority and those who talk to it (RFC 5280; RFC 9525 for a server's names).

They have nothing to do with the identities of units: another CA issues them, and they end.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum, unique
from ipaddress import ip_address
from typing import Final

from imprint.errors import FormatError, InputError
from imprint.formats import der
from imprint.formats.x509 import (
    DIGITAL_SIGNATURE,
    OID_KEY_USAGE,
    OID_SUBJECT_ALT_NAME,
    SIGNATURE_ALGORITHMS,
    V3,
    Issuer,
    authority_key_id,
    distinguished_name,
    extension,
)

_OID_EXTENDED_KEY_USAGE: Final = der.oid("2.5.29.37")


@unique
class Usage(StrEnum):
    """What a certificate is for: its one extended key usage (RFC 5280 section 4.2.1.12)."""

    SERVER = "1.3.6.1.5.5.7.3.1"
    CLIENT = "1.3.6.1.5.5.7.3.2"


def tls_tbs(
    issuer: Issuer,
    *,
    usage: Usage,
    organization: str,
    common_name: str,
    hosts: Sequence[str] = (),
    spki: bytes,
    number: int,
    not_before: datetime,
    not_after: datetime,
) -> bytes:
    """The TBSCertificate of a server or a client. ``hosts`` are a server's DNS names and IP addresses; clients ignore
    its common name. Raises :class:`InputError` for a life that ends before it begins, :class:`FormatError` for a host
    that is none."""
    if not_after <= not_before:
        raise InputError("it would end before it begins", subject=common_name)
    names = [_general_name(host) for host in hosts]
    extensions = (
        authority_key_id(issuer),
        extension(OID_KEY_USAGE, DIGITAL_SIGNATURE, critical=True),
        extension(_OID_EXTENDED_KEY_USAGE, der.sequence(der.oid(usage.value))),
        extension(OID_SUBJECT_ALT_NAME, der.sequence(*names)) if names else b"",
    )
    return der.sequence(
        V3,
        der.integer(number),
        SIGNATURE_ALGORITHMS[issuer.algorithm],
        issuer.name,
        der.sequence(der.time(not_before), der.time(not_after)),
        distinguished_name(organization=organization, common_name=common_name),
        spki,
        der.explicit(3, der.sequence(*extensions)),
    )


def _general_name(host: str) -> bytes:
    try:
        return der.implicit(7, ip_address(host).packed)
    except ValueError:
        pass
    labels = host.split(".")
    if len(host) > 253 or not all(_is_label(label) for label in labels):
        raise FormatError("neither a host name nor an IP address", subject=repr(host[:80]))
    return der.implicit(2, host.encode())


def _is_label(label: str) -> bool:
    return (
        0 < len(label) <= 63
        and label.isascii()
        and label.replace("-", "a").isalnum()
        and not label.startswith("-")
        and not label.endswith("-")
    )
