"""Public keys: one encoding each, known kinds only, and none that anybody could use."""

from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import FormatError, InputError, WeakKeyError, WrongKeyError
from imprint.formats import der
from imprint.formats.public_key import Algorithm, algorithm_of, load_public_key, refuse_weak

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # order of P-256, FIPS 186-5

# Seven low-order points of Ed25519 as libsodium lists them (SOURCES.md), and the same with the sign bit set.
SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def ed25519_spki(point: bytes) -> bytes:
    return der.sequence(der.sequence(der.oid("1.3.101.112")), der.bit_string(point))


def p256_spki(scalar: int) -> bytes:
    return spki(ec.derive_private_key(scalar, ec.SECP256R1()).public_key())


def test_the_two_kinds_are_told_apart() -> None:
    assert algorithm_of(spki(ec.generate_private_key(ec.SECP256R1()).public_key())) is Algorithm.P256
    assert algorithm_of(spki(ed25519.Ed25519PrivateKey.generate().public_key())) is Algorithm.ED25519


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key(),
        ed448.Ed448PrivateKey.generate().public_key(),
        x25519.X25519PrivateKey.generate().public_key(),
    ],
)
def test_other_kinds_are_refused(key: PublicKeyTypes) -> None:
    with pytest.raises(WrongKeyError, match="not a kind of key"):
        algorithm_of(spki(key))


def test_a_second_encoding_of_a_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    algorithm = der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7"))
    compressed = der.sequence(algorithm, der.bit_string(key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)))
    with pytest.raises(FormatError, match="canonical"):
        algorithm_of(compressed)
    with pytest.raises(FormatError):
        algorithm_of(spki(key) + b"\x00")


def test_a_point_off_the_curve_is_refused() -> None:
    good = bytearray(p256_spki(77777))
    good[-1] ^= 1
    with pytest.raises(FormatError, match="curve"):
        load_public_key(bytes(good))


@given(st.binary(max_size=120))
def test_any_bytes_are_a_key_or_a_typed_error(data: bytes) -> None:
    for prefix in (b"", p256_spki(5)[:27], ed25519_spki(bytes(32))[:12]):
        with suppress(InputError):
            load_public_key(prefix + data)
            refuse_weak(prefix + data)


@pytest.mark.parametrize("scalar", [1, 2, 3, 1000, 1024, N - 1, N - 2, N - 1024])
def test_small_multiples_of_the_generator_and_their_negatives_are_weak(scalar: int) -> None:
    with pytest.raises(WeakKeyError):
        refuse_weak(p256_spki(scalar))


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_points_of_small_order_are_weak(point: str) -> None:
    raw = bytes.fromhex(point)
    for candidate in (raw, raw[:31] + bytes((raw[31] | 0x80,))):
        with pytest.raises(WeakKeyError):
            refuse_weak(ed25519_spki(candidate))


def test_the_order_eight_points_solve_their_equation() -> None:
    for point in SMALL_ORDER[2:4]:
        y = int.from_bytes(bytes.fromhex(point), "little")
        assert (D * pow(y, 4, P) + 2 * y * y - 1) % P == 0


def test_good_keys_pass() -> None:
    for _ in range(20):
        refuse_weak(spki(ec.generate_private_key(ec.SECP256R1()).public_key()))
        refuse_weak(spki(ed25519.Ed25519PrivateKey.generate().public_key()))
    refuse_weak(p256_spki(2**128))
