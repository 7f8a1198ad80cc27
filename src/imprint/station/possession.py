"""Is this the unit that holds the certified key?"""

import secrets
from typing import Final

from cryptography.x509 import load_der_x509_certificate
from cryptography.x509.oid import NameOID

from imprint.encoding import sha256
from imprint.errors import FormatError, UnitRefused
from imprint.formats.provisioning_group import STATEMENT_CONTEXT, UnitStatement
from imprint.keys.verify import verify
from imprint.station.steps.identity_key import certified_key
from imprint.station.targets.target import Target

_NONCE_SIZE: Final = 32


async def holds_identity(target: Target, hardware_id: str, certificate: bytes) -> bool:
    """Whether the unit stores this certificate (DER) and signs a fresh challenge with its key.

    A unit that answers wrongly, or refuses, does not hold it. Raises :class:`imprint.errors.UnitSilent` when it does
    not answer at all.
    """
    nonce = secrets.token_bytes(_NONCE_SIZE)
    try:
        if await target.certificate() != certificate:
            return False
        proof = await target.prove(nonce)
        statement = UnitStatement.decode(proof.statement)
        signed = verify(certified_key(certificate), STATEMENT_CONTEXT + proof.statement, proof.signature)
    except (UnitRefused, FormatError):
        return False
    return (
        signed
        and statement.nonce == nonce
        and statement.hw.hex() == hardware_id
        and statement.cert == sha256(certificate)
    )


def serial_of(certificate: bytes) -> str:
    """The serial number in an identity (DER), which the authority issued."""
    names = load_der_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    return ", ".join(str(name.value) for name in names)
