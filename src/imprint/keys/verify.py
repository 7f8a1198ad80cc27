"""Public keys at work: checking signatures, and public keys in PEM files."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from imprint.errors import FormatError
from imprint.formats.public_key import algorithm_of, load_public_key, verify

__all__ = ["decode_public_pem", "encode_public_pem", "verify"]


def encode_public_pem(spki: bytes) -> bytes:
    """PEM (RFC 7468 section 13). Raises as :func:`imprint.formats.public_key.load_public_key` does."""
    return load_public_key(spki).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def decode_public_pem(pem: bytes) -> bytes:
    """SubjectPublicKeyInfo in canonical DER from PEM. Raises :class:`FormatError` for what is not a public key in PEM,
    :class:`imprint.errors.WrongKeyError` for a kind of key that is not used here."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise FormatError("not a public key in PEM", subject="public key") from problem
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    algorithm_of(spki)
    return spki
