"""Key files at their full cost: each test derives a key or more from a passphrase, a tenth of a second each."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from imprint.encoding import b64, from_b64
from imprint.errors import KeyStoreError, PassphraseError
from imprint.keys.file import FileSigner, create_key_file, encrypt_key, open_key_file
from imprint.keys.signer import Algorithm, Signer
from imprint.keys.uri import open_signer
from imprint.keys.verify import verify

PASSPHRASE = b"correct horse battery staple"
BEGIN, END = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", b"-----END ENCRYPTED PRIVATE KEY-----\n"


@pytest.fixture(scope="module")
def key_file() -> bytes:
    return create_key_file(Algorithm.P256, PASSPHRASE)


def body(pem: bytes) -> bytes:
    return from_b64(pem.decode().replace("\n", "").split("-----")[2], subject="test")


def pem_of(data: bytes) -> bytes:
    return BEGIN + b64(data).encode() + b"\n" + END


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_new_key_opens_and_signs(algorithm: Algorithm) -> None:
    signer: Signer = open_key_file(create_key_file(algorithm, PASSPHRASE), PASSPHRASE, subject="k.pem")
    assert signer.algorithm is algorithm
    signature = signer.sign(b"message")
    assert verify(signer.public_key, b"message", signature)
    assert not verify(signer.public_key, b"massage", signature)


def test_another_reader_finds_the_same_key(key_file: bytes) -> None:
    key = load_pem_private_key(key_file, PASSPHRASE)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert FileSigner(key).public_key == open_key_file(key_file, PASSPHRASE, subject="k.pem").public_key


def test_two_files_of_one_key_share_nothing_but_their_frame() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    first, second = body(encrypt_key(key, PASSPHRASE)), body(encrypt_key(key, PASSPHRASE))
    assert len(first) == len(second)
    assert first[-144:] != second[-144:]


@pytest.mark.parametrize("passphrase", [b"", PASSPHRASE + b"\n"])
def test_a_wrong_passphrase_is_told_apart_from_damage(key_file: bytes, passphrase: bytes) -> None:
    with pytest.raises(PassphraseError) as caught:
        open_key_file(key_file, passphrase, subject="k.pem")
    assert str(caught.value).startswith("k.pem: does not open with this passphrase")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_damaged_ciphertext_or_salt_does_not_open(key_file: bytes) -> None:
    for position in (-1, 50):
        damaged = bytearray(body(key_file))
        damaged[position] ^= 1
        with pytest.raises(PassphraseError):
            open_key_file(pem_of(bytes(damaged)), PASSPHRASE, subject="k.pem")


def test_keys_of_other_kinds_are_refused() -> None:
    pem = encrypt_key(ec.generate_private_key(ec.SECP384R1()), PASSPHRASE)
    with pytest.raises(KeyStoreError, match="another kind"):
        open_key_file(pem, PASSPHRASE, subject="k.pem")


def test_a_file_is_read_and_its_passphrase_asked_for() -> None:
    files = {"keys/ledger.pem": create_key_file(Algorithm.ED25519, b"twelve chars")}
    asked: list[str] = []

    def secret(path: str) -> bytes:
        asked.append(path)
        return b"twelve chars"

    signer = open_signer("file:keys/ledger.pem", read=files.__getitem__, secret=secret)
    assert signer.algorithm is Algorithm.ED25519
    assert asked == ["keys/ledger.pem"]
    with pytest.raises(PassphraseError, match=r"keys/ledger\.pem"):
        open_signer("file:keys/ledger.pem", read=files.__getitem__, secret=lambda _: b"something else")
