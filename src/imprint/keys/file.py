"""Private keys in encrypted files: PKCS#8 under PBES2 with scrypt and AES-256-CBC, in PEM.

``docs/formats/key-files.md`` describes the file. Bytes in, bytes out: whoever calls reads and writes it, mode 0600.
Once opened, the private key lies in this process's memory; that is the limit of a key file, and why hardware key stores
exist.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from imprint.encoding import b64, from_b64
from imprint.errors import FormatError, KeyStoreError, PassphraseError
from imprint.formats import der
from imprint.formats.public_key import Algorithm, algorithm_of

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# 16 MiB of memory a guess, five times over: as strong as OWASP's N=2^17, p=1, and within OpenSSL's limit of 32 MiB.
_SCRYPT_N: Final = 2**14
_SCRYPT_R: Final = 8
_SCRYPT_P: Final = 5
_LEAST_N_TIMES_R: Final = 2**17
_MOST_N_TIMES_R: Final = 2**20  # 128 MiB
_MOST_P: Final = 32

_OID_PBES2: Final = der.oid("1.2.840.113549.1.5.13")
_OID_SCRYPT: Final = der.oid("1.3.6.1.4.1.11591.4.11")
_OID_AES256_CBC: Final = der.oid("2.16.840.1.101.3.4.1.42")
_BEGIN: Final = "-----BEGIN ENCRYPTED PRIVATE KEY-----"
_END: Final = "-----END ENCRYPTED PRIVATE KEY-----"
_SEQUENCE: Final = 0x30
_CONVERT: Final = "Convert it: openssl pkcs8 -topk8 -scrypt"
_ECDSA_SHA256: Final = ec.ECDSA(hashes.SHA256())


class FileSigner:
    """A private key from a file, held in memory."""

    __slots__ = ("_sign", "algorithm", "public_key")

    def __init__(self, key: PrivateKey) -> None:
        self._sign = _sign_with(key)
        self.public_key = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.algorithm = algorithm_of(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """As :meth:`imprint.keys.signer.Signer.sign`."""
        return self._sign(message)


def _sign_with(key: PrivateKey) -> Callable[[bytes], bytes]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return lambda message: key.sign(message, _ECDSA_SHA256)
    return key.sign


def create_key_file(algorithm: Algorithm, passphrase: bytes) -> bytes:
    """A new key as PEM, encrypted. An empty passphrase is a :class:`PassphraseError`."""
    match algorithm:
        case Algorithm.P256:
            return encrypt_key(ec.generate_private_key(ec.SECP256R1()), passphrase)
        case Algorithm.ED25519:
            return encrypt_key(ed25519.Ed25519PrivateKey.generate(), passphrase)


def encrypt_key(key: PrivateKey, passphrase: bytes) -> bytes:
    """``key`` as PEM, encrypted (RFC 5958 section 3, RFC 8018 section 6.2, RFC 7914 section 7)."""
    if not passphrase:
        raise PassphraseError("an empty passphrase protects nothing", next_step="Choose a long one")
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    padder = PKCS7(algorithms.AES.block_size).padder()
    protection = _Protection(salt=os.urandom(16), n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P, iv=os.urandom(16))
    encryptor = protection.cipher(passphrase).encryptor()
    encrypted = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    text = b64(protection.encode(encrypted))
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([_BEGIN, *lines, _END, ""]).encode()


def open_key_file(pem: bytes, passphrase: bytes, *, subject: str) -> FileSigner:
    """The signer in an encrypted key file; raises as :func:`decrypt_key_file`."""
    return FileSigner(_decrypt(pem, passphrase, subject))


def decrypt_key_file(pem: bytes, passphrase: bytes, *, subject: str) -> bytes:
    """The key as PEM that is not encrypted, for a TLS library in another process: never for a disk. ``subject`` names
    the file in errors.

    Raises :class:`PassphraseError` when the passphrase does not open it, :class:`FormatError` when the file is damaged,
    :class:`KeyStoreError` when it is not encrypted, encrypted in another way, or holds a key of another kind.
    """
    key = _decrypt(pem, passphrase, subject)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _decrypt(pem: bytes, passphrase: bytes, subject: str) -> PrivateKey:
    protection, encrypted = _decode(_decode_pem(pem, subject), subject)
    decryptor = protection.cipher(passphrase).decryptor()
    unpadder = PKCS7(algorithms.AES.block_size).unpadder()
    try:
        padded = decryptor.update(encrypted) + decryptor.finalize()
        key = load_der_private_key(unpadder.update(padded) + unpadder.finalize(), None)
    except ValueError:
        # Without an authentication code a wrong passphrase and a changed ciphertext look alike; what the decrypted
        # bytes look like is told to nobody.
        raise PassphraseError(
            "does not open with this passphrase",
            subject=subject,
            next_step="Try again; if the passphrase is surely right, the file is damaged: restore it from a backup",
        ) from None
    except UnsupportedAlgorithm:
        raise _other_kind(subject) from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise _other_kind(subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Protection:
    """PBES2 parameters: scrypt's salt and costs, and the initialization vector of AES-256-CBC."""

    salt: bytes
    n: int
    r: int
    p: int
    iv: bytes

    def encode(self, encrypted: bytes) -> bytes:
        """EncryptedPrivateKeyInfo (RFC 5958 section 3)."""
        costs = (der.integer(self.n), der.integer(self.r), der.integer(self.p))
        derivation = der.sequence(_OID_SCRYPT, der.sequence(der.octet_string(self.salt), *costs))
        cipher = der.sequence(_OID_AES256_CBC, der.octet_string(self.iv))
        scheme = der.sequence(_OID_PBES2, der.sequence(derivation, cipher))
        return der.sequence(scheme, der.octet_string(encrypted))

    def cipher(self, passphrase: bytes) -> Cipher[modes.CBC]:
        wrapping_key = Scrypt(salt=self.salt, length=32, n=self.n, r=self.r, p=self.p).derive(passphrase)
        return Cipher(algorithms.AES(wrapping_key), modes.CBC(self.iv))


def _decode_pem(pem: bytes, subject: str) -> bytes:
    text = pem.decode("ascii", "replace").strip()
    if "PRIVATE KEY-----" in text and _BEGIN not in text:
        raise KeyStoreError("not an encrypted PKCS#8 file", subject=subject, next_step=_CONVERT)
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        raise _damaged(subject)
    return from_b64("".join(text[len(_BEGIN) : -len(_END)].split()), subject=subject)


def _decode(data: bytes, subject: str) -> tuple[_Protection, bytes]:
    """Take out the values, and take the file only if writing them again gives the same bytes: a strict parser."""
    match list(_primitives(data)):
        case [_, _, salt, n, r, p, _, iv, encrypted]:
            costs = (int.from_bytes(n), int.from_bytes(r), int.from_bytes(p))
            protection = _Protection(salt=salt, n=costs[0], r=costs[1], p=costs[2], iv=iv)
            if protection.encode(encrypted) == data and len(iv) == 16:
                _check_costs(*costs, subject)
                return protection, encrypted
    if _OID_PBES2 in data and not (_OID_SCRYPT in data and _OID_AES256_CBC in data):
        raise KeyStoreError("not encrypted with scrypt and AES-256-CBC", subject=subject, next_step=_CONVERT)
    raise _damaged(subject)


def _primitives(data: bytes) -> Iterator[bytes]:
    """The contents of all that is not a SEQUENCE, in order. Slices bound it: damaged lengths give other values."""
    position = 0
    while position < len(data):
        tag, size = data[position], int.from_bytes(data[position + 1 : position + 2])
        position += 2
        if size & 0x80:
            width = size & 0x7F
            size = int.from_bytes(data[position : position + width])
            position += width
        if tag != _SEQUENCE:
            yield data[position : position + size]
            position += size


def _check_costs(n: int, r: int, p: int, subject: str) -> None:
    if n < 2 or n.bit_count() != 1 or not r or not p:
        raise _damaged(subject)
    if n * r < _LEAST_N_TIMES_R:
        raise KeyStoreError("the scrypt cost is too low", subject=subject, next_step=_CONVERT)
    if n * r > _MOST_N_TIMES_R or p > _MOST_P:
        raise KeyStoreError("the scrypt cost is too high", subject=subject, next_step=_CONVERT)


def _damaged(subject: str) -> FormatError:
    return FormatError("the key file is damaged", subject=subject, next_step="Restore it from a backup")


def _other_kind(subject: str) -> KeyStoreError:
    return KeyStoreError("a key of another kind", subject=subject, next_step=f"Use {' or '.join(Algorithm)}")
