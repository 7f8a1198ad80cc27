"""Key files: what we write opens, only with its passphrase; everything else is a typed error that tells nothing."""

import os
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from imprint.encoding import b64, from_b64
from imprint.errors import FormatError, ImprintError, KeyStoreError, PassphraseError
from imprint.formats import der
from imprint.keys.file import FileSigner, create_key_file, open_key_file
from imprint.keys.signer import Algorithm

PASSPHRASE = b"correct horse battery staple"
BEGIN, END = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", b"-----END ENCRYPTED PRIVATE KEY-----\n"


@pytest.fixture(scope="module")
def key_file() -> bytes:
    return create_key_file(Algorithm.P256, PASSPHRASE)


def body(pem: bytes) -> bytes:
    return from_b64(pem.decode().replace("\n", "").split("-----")[2], subject="test")


def pem_of(data: bytes) -> bytes:
    return BEGIN + b64(data).encode() + b"\n" + END


def test_an_empty_passphrase_makes_no_file() -> None:
    with pytest.raises(PassphraseError, match="empty"):
        create_key_file(Algorithm.ED25519, b"")


def test_every_damaged_byte_of_the_frame_is_noticed(key_file: bytes) -> None:
    data = body(key_file)
    frame = len(data) - 144 - 3  # all but the ciphertext, which only decryption can judge
    salt = data.index(der.oid("1.3.6.1.4.1.11591.4.11")) + 15
    free = {*range(salt, salt + 16), *range(frame - 16, frame)}  # salt and vector: any value is well-formed
    for position in set(range(frame + 3)) - free:
        damaged = bytearray(data)
        damaged[position] ^= 0x80
        with pytest.raises((FormatError, KeyStoreError)):
            open_key_file(pem_of(bytes(damaged)), PASSPHRASE, subject="k.pem")


@pytest.mark.parametrize("kept", [0, 10, 40, 100, 200, 320])
def test_a_truncated_file_is_damaged(key_file: bytes, kept: int) -> None:
    with pytest.raises(FormatError):
        open_key_file(key_file[:kept], PASSPHRASE, subject="k.pem")


def test_any_bytes_are_a_typed_error() -> None:
    for size in range(200):
        for data in (os.urandom(size), pem_of(os.urandom(size)), pem_of(b"\x30" * size), pem_of(b"\x30\xff" * size)):
            with pytest.raises(ImprintError):
                open_key_file(data, PASSPHRASE, subject="k.pem")


def test_keys_that_are_not_encrypted_well_are_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    legacy = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(PASSPHRASE))
    pbkdf2 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE))
    for pem in (plain, legacy, pbkdf2):
        with pytest.raises(KeyStoreError, match=re.escape("openssl pkcs8 -topk8 -scrypt")):
            open_key_file(pem, PASSPHRASE, subject="k.pem")


@pytest.mark.parametrize(
    ("n", "r", "p", "what"),
    [
        (2**30, 8, 1, "too high"),
        (2**14, 8, 1000, "too high"),
        (2**13, 8, 1, "too low"),
        (2**14 + 1, 8, 1, "damaged"),
        (1, 2**18, 1, "damaged"),
        (2**14, 8, 0, "damaged"),
    ],
)
def test_costs_are_checked_before_they_are_paid(key_file: bytes, n: int, r: int, p: int, what: str) -> None:
    data = body(key_file)
    scrypt = der.oid("1.3.6.1.4.1.11591.4.11")
    salt = data[data.index(scrypt) + 15 :][:16]
    costs = der.integer(n) + der.integer(r) + der.integer(p)
    derivation = der.sequence(scrypt, der.sequence(der.octet_string(salt), costs))
    cipher = der.sequence(der.oid("2.16.840.1.101.3.4.1.42"), der.octet_string(bytes(16)))
    scheme = der.sequence(der.oid("1.2.840.113549.1.5.13"), der.sequence(derivation, cipher))
    with pytest.raises((FormatError, KeyStoreError), match=what):
        open_key_file(pem_of(der.sequence(scheme, der.octet_string(bytes(144)))), PASSPHRASE, subject="k.pem")


def test_no_error_or_representation_shows_a_secret(key_file: bytes) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    signer = FileSigner(key)
    assert key.private_bytes_raw().hex() not in repr(signer) + str(vars(type(signer)))
    for damaged in (key_file[:-80], key_file.replace(b"A", b"B")):
        with pytest.raises(ImprintError) as caught:
            open_key_file(damaged, b"a wrong passphrase", subject="k.pem")
        assert "a wrong passphrase" not in str(caught.value)
