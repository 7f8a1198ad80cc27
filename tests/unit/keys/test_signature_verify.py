"""Checking signatures of both kinds, and public keys in PEM."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import FormatError, WrongKeyError
from imprint.keys.file import FileSigner
from imprint.keys.verify import decode_public_pem, encode_public_pem, verify

SIGNERS = [FileSigner(ec.generate_private_key(ec.SECP256R1())), FileSigner(ed25519.Ed25519PrivateKey.generate())]


# RFC 8032 section 7.1, test 2.
ED25519_SPKI = "302a300506032b65700321003d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
ED25519_SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
# RFC 6979 appendix A.2.5, SHA-256, message "sample"; r and s written as DER.
P256_SPKI = (
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)
P256_SIGNATURE = (
    "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
)


@pytest.mark.parametrize(
    ("spki", "message", "signature"),
    [(ED25519_SPKI, "72", ED25519_SIGNATURE), (P256_SPKI, b"sample".hex(), P256_SIGNATURE)],
)
def test_published_signatures_verify(spki: str, message: str, signature: str) -> None:
    key, text, good = bytes.fromhex(spki), bytes.fromhex(message), bytes.fromhex(signature)
    assert verify(key, text, good)
    assert not verify(key, text + b"\x00", good)
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1
        assert not verify(key, text, bytes(bad))


@given(st.binary(max_size=100))
def test_any_bytes_are_a_bad_signature(signature: bytes) -> None:
    for signer in SIGNERS:
        assert not verify(signer.public_key, b"message", signature)


def test_the_hash_is_part_of_the_algorithm() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert not verify(spki, b"message", key.sign(b"message", ec.ECDSA(hashes.SHA384())))


def test_public_keys_go_through_pem() -> None:
    for signer in SIGNERS:
        pem = encode_public_pem(signer.public_key)
        assert pem.startswith(b"-----BEGIN PUBLIC KEY-----\n")
        assert decode_public_pem(pem) == signer.public_key


def test_other_pem_files_are_refused() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    with pytest.raises(WrongKeyError):
        decode_public_pem(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for data in (b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"\xff" * 50):
        with pytest.raises(FormatError):
            decode_public_pem(data)
