"""Public keys as SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7): which kind, canonical or not, weak or not.

Both kinds have exactly one canonical encoding, of one length and with one prefix: P-256 with a named curve and an
uncompressed point (RFC 5480 section 2), Ed25519 without parameters (RFC 8410 section 4). Anything else is refused, so
two encodings of one key can never pass for two keys.
"""

from enum import StrEnum, unique
from functools import cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_der_public_key

from imprint.errors import FormatError, WeakKeyError, WrongKeyError

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

_P256_PREFIX: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
_P256_SIZE: Final = len(_P256_PREFIX) + 64
_ED25519_PREFIX: Final = bytes.fromhex("302a300506032b6570032100")
_ED25519_SIZE: Final = len(_ED25519_PREFIX) + 32

_SMALL_MULTIPLES: Final = 1024
_ED25519_PRIME: Final = 2**255 - 19
# The y coordinates of the eight points of small order on edwards25519: the neutral point, the point of order 2, those
# of order 4, and those of order 8, whose y are the roots of d*y**4 + 2*y**2 - 1.
_ORDER_8_Y: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y: Final = frozenset({0, 1, _ED25519_PRIME - 1, _ORDER_8_Y, _ED25519_PRIME - _ORDER_8_Y})


@unique
class Algorithm(StrEnum):
    """What a key signs with. Names are stable: profiles, recipes and records hold them."""

    P256 = "p256"  # ECDSA on NIST P-256 with SHA-256 (FIPS 186-5), signatures in DER (RFC 3279 section 2.2.3)
    ED25519 = "ed25519"  # RFC 8032


def algorithm_of(spki: bytes) -> Algorithm:
    """The algorithm of a canonical SubjectPublicKeyInfo. The point itself is not looked at.

    Raises :class:`WrongKeyError` for a key of a kind that is not used here, :class:`FormatError` for what is not a key
    or not canonical.
    """
    if spki.startswith(_P256_PREFIX) and len(spki) == _P256_SIZE:
        return Algorithm.P256
    if spki.startswith(_ED25519_PREFIX) and len(spki) == _ED25519_SIZE:
        return Algorithm.ED25519
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise FormatError("not a SubjectPublicKeyInfo in DER", subject="public key") from problem
    if isinstance(key, ed25519.Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        raise FormatError(
            "not the canonical encoding", subject="public key", next_step="Write the point in full, the curve by name"
        )
    kind = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
    raise WrongKeyError(f"{kind} is not a kind of key that is used here", subject="public key", next_step=_KINDS)


_KINDS: Final = f"Use one of {', '.join(Algorithm)}"


def load_public_key(spki: bytes) -> PublicKey:
    """The key itself, its P-256 point known to be on the curve. Raises as :func:`algorithm_of` does."""
    algorithm_of(spki)
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise FormatError("the point is not on the curve", subject="public key") from problem
    if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise FormatError("not a key of its algorithm", subject="public key")
    return key


def verify(spki: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is one over ``message`` by this key, under the key's own algorithm.

    A malformed signature is false. Raises as :func:`load_public_key` does for ``spki``.
    """
    key = load_public_key(spki)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def refuse_weak(spki: bytes) -> None:
    """Raise :class:`WeakKeyError` for a key whose private key, or a forged signature, can be had for nothing.

    P-256: the generator times 1..1024, and the negatives of these (a generator of random numbers that gives zeros,
    ones or a small counter). Ed25519: points of small order, and coordinates that are not reduced. Raises as
    :func:`algorithm_of` does.
    """
    if algorithm_of(spki) is Algorithm.P256:
        weak = spki[len(_P256_PREFIX) :][:32] in _small_multiples()  # a point and its negative share x
    else:
        y = int.from_bytes(spki[len(_ED25519_PREFIX) :], "little") & (2**255 - 1)
        weak = y in _SMALL_ORDER_Y or y >= _ED25519_PRIME
    if weak:
        raise WeakKeyError(
            "anybody can guess the private key",
            subject="public key",
            next_step="Check the unit's source of random numbers and make a new key",
        )


@cache
def _small_multiples() -> frozenset[bytes]:
    points = (
        ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
        for scalar in range(1, _SMALL_MULTIPLES + 1)
    )
    return frozenset(point.x.to_bytes(32, "big") for point in points)
