"""Looking for secrets in bytes: as they are, and in every writing that a careless program would give them."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_SHORTEST = 8  # characters of a base64 fragment that cannot be there by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Needle:
    """One writing of one secret."""

    name: str
    data: bytes


def key_secrets(name: str, key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> dict[str, bytes]:
    """The secret number or seed itself. It stands in the middle of any DER, so this finds that as well."""
    if isinstance(key, Ed25519PrivateKey):
        return {name: key.private_bytes_raw()}
    return {name: key.private_numbers().private_value.to_bytes(key.curve.key_size // 8, "big")}


def key_forms(key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> dict[str, bytes]:
    """A whole key as a program would write it in the clear."""
    formats = {"pkcs8": PrivateFormat.PKCS8}
    if isinstance(key, EllipticCurvePrivateKey):
        formats["sec1"] = PrivateFormat.TraditionalOpenSSL
    encodings = {"der": Encoding.DER, "pem": Encoding.PEM}
    return {
        f"{form} {encoding}": key.private_bytes(encodings[encoding], formats[form], NoEncryption())
        for form in formats
        for encoding in encodings
    }


def needles(secrets: Mapping[str, bytes]) -> list[Needle]:
    """Every writing of every secret."""
    return [
        Needle(name=f"{name} in {form}", data=data) for name, value in secrets.items() for form, data in _forms(value)
    ]


def _forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    yield "raw", secret
    yield "little-endian", secret[::-1]
    yield "hex", secret.hex().encode()
    yield "HEX", secret.hex().upper().encode()
    yield "hex with colons", secret.hex(":").encode()
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + secret)
        # What comes before and after shares a character with the secret at either end: those are left out.
        whole = text[(shift * 8 + 5) // 6 : (shift + len(secret)) * 8 // 6]
        assert len(whole) >= _SHORTEST
        yield f"base64 at {shift}", whole
        if (safe := whole.translate(bytes.maketrans(b"+/", b"-_"))) != whole:
            yield f"url-safe base64 at {shift}", safe


def found_in(data: bytes, searched: list[Needle]) -> list[str]:
    """The names of the needles in ``data``, also across line breaks, real or written as ``\\n``."""
    joined = data.replace(b"\r", b"").replace(b"\n", b"").replace(b"\\n", b"")
    return [needle.name for needle in searched if needle.data in data or needle.data in joined]
