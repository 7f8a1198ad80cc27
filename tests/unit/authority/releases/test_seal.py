"""Sealing: what comes out would boot; a signer or a value that is wrong is noticed here."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from imprint.authority.releases.seal import seal
from imprint.errors import FormatError, InputError, KeyStoreError
from imprint.formats import mcuboot
from imprint.keys.file import FileSigner

SIGNER = FileSigner(ec.generate_private_key(ec.SECP256R1()))
PAYLOAD = bytes(range(256)) * 20


class FaultySigner(FileSigner):
    """Signs another message than the one that it was given."""

    def sign(self, message: bytes) -> bytes:
        return super().sign(message + b"\x00")


def test_a_sealed_image_boots_under_its_key_alone() -> None:
    sealed = seal(PAYLOAD, version="1.2.3+4", security_counter=7, signer=SIGNER)
    image = mcuboot.verify(sealed, SIGNER.public_key, least_security_counter=7)
    assert (image.payload, str(image.version), image.security_counter) == (PAYLOAD, "1.2.3+4", 7)
    with pytest.raises(InputError, match="boot key"):
        mcuboot.verify(sealed, FileSigner(ec.generate_private_key(ec.SECP256R1())).public_key, least_security_counter=0)


def test_a_faulty_signer_is_noticed() -> None:
    with pytest.raises(InputError, match="boot key"):
        seal(
            PAYLOAD,
            version="1.0.0",
            security_counter=1,
            signer=FaultySigner(ec.generate_private_key(ec.SECP256R1())),
        )


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(KeyStoreError, match="p256"):
        seal(PAYLOAD, version="1.0.0", security_counter=1, signer=FileSigner(ed25519.Ed25519PrivateKey.generate()))


@pytest.mark.parametrize("version", ["", "1", "1.2", "v1.2.3", "1.2.3.4", "256.0.0", "1.2.3+", "1.2.3-rc1", "1.2.3\n"])
def test_a_version_is_major_minor_revision_build(version: str) -> None:
    with pytest.raises(FormatError, match="version"):
        seal(PAYLOAD, version=version, security_counter=1, signer=SIGNER)


@pytest.mark.parametrize("counter", [-1, 2**32])
def test_a_security_counter_has_its_limits(counter: int) -> None:
    with pytest.raises(FormatError, match="security counter"):
        seal(PAYLOAD, version="1.0.0", security_counter=counter, signer=SIGNER)


def test_an_empty_payload_is_refused() -> None:
    with pytest.raises(FormatError, match="empty"):
        seal(b"", version="1.0.0", security_counter=1, signer=SIGNER)
