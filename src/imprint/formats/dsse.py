"""DSSE envelopes, version 1 (github.com/secure-systems-lab/dsse): a payload, its type, and signatures over both.

Written here and judged by ``securesystemslib`` in the tests: that library's envelope skips signatures whose key ID is
not the expected one (the specification makes it a hint), and importing it loads its GPG and token back ends.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from imprint.encoding import b64, canonical, from_b64, parse_json_object
from imprint.errors import FormatError, InputError
from imprint.formats.public_key import verify

IN_TOTO: Final = "application/vnd.in-toto+json"
MAX_SIGNATURES: Final = 16

_URL_SAFE_TO_STANDARD: Final = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature. ``key_id`` is an unsigned hint, and may be empty."""

    key_id: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A payload with signatures that have not been checked; see :func:`open_envelope`."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """Canonical JSON; equal envelopes have equal bytes."""
        signatures = [{"keyid": one.key_id, "sig": b64(one.value)} for one in self.signatures]
        return canonical({"payload": b64(self.payload), "payloadType": self.payload_type, "signatures": signatures})


def signed_bytes(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload_type: str, payload: bytes, *, key_id: str, sign: Callable[[bytes], bytes]) -> Envelope:
    """The payload in an envelope with one signature. ``sign`` takes the whole message: ECDSA with SHA-256 in DER, or
    Ed25519."""
    signature = Signature(key_id=key_id, value=sign(signed_bytes(payload_type, payload)))
    return Envelope(payload_type=payload_type, payload=payload, signatures=(signature,))


def parse_envelope(data: bytes) -> Envelope:
    """An envelope from outside, unchecked, or :class:`FormatError`. Both alphabets of base64 are read; other fields
    are ignored, as the specification asks."""
    found = parse_json_object(data, subject="envelope")
    payload_type, signatures = found.get("payloadType"), found.get("signatures")
    if not isinstance(payload_type, str) or not isinstance(signatures, list) or not signatures:
        raise FormatError("payloadType and signatures were expected", subject="envelope")
    if len(signatures) > MAX_SIGNATURES:
        raise FormatError(f"more than {MAX_SIGNATURES} signatures", subject="envelope")
    _check_text(payload_type)
    return Envelope(
        payload_type=payload_type,
        payload=_from_either_b64(found.get("payload")),
        signatures=tuple(_parse_signature(one) for one in signatures),
    )


def open_envelope(envelope: Envelope, keys: Iterable[bytes], *, payload_type: str) -> bytes:
    """The payload, signed by at least one of ``keys`` (SubjectPublicKeyInfo in DER, Ed25519 or P-256).

    Key IDs decide nothing. Raises :class:`InputError` for another payload type or when none of the keys signed, and as
    :func:`imprint.formats.public_key.load_public_key` does for a key.
    """
    if envelope.payload_type != payload_type:
        raise InputError(f"a payload of type {payload_type} was expected", subject="envelope")
    message = signed_bytes(envelope.payload_type, envelope.payload)
    values = [one.value for one in envelope.signatures]
    if not any(verify(key, message, value) for key in keys for value in values):
        raise InputError(
            "no signature by a known key", subject="envelope", next_step="Check that the key is that of the signer"
        )
    return envelope.payload


def _parse_signature(found: object) -> Signature:
    if not isinstance(found, dict) or not isinstance(key_id := found.get("keyid", ""), str):
        raise FormatError("a signature is not an object with sig", subject="envelope")
    _check_text(key_id)
    return Signature(key_id=key_id, value=_from_either_b64(found.get("sig")))


def _from_either_b64(found: object) -> bytes:
    if not isinstance(found, str) or not found.isascii():
        raise FormatError("base64 text was expected", subject="envelope")
    return from_b64(found.translate(_URL_SAFE_TO_STANDARD), subject="envelope")


def _check_text(text: str) -> None:
    if any("\ud800" <= char <= "\udfff" for char in text):  # JSON can escape what UTF-8 cannot hold
        raise FormatError("a text with half a surrogate pair", subject="envelope")
