"""MCUboot images: what we build, what we refuse. imgtool judges them in tests/integration/test_imgtool_images.py."""

import struct
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from imprint.encoding import sha256
from imprint.errors import FormatError, InputError
from imprint.formats import mcuboot
from imprint.formats.mcuboot import Version

KEY = ec.derive_private_key(0x1337, ec.SECP256R1())
OTHER_KEY = ec.derive_private_key(0x4242, ec.SECP256R1())
VERSION = Version(major=1, minor=2, revision=3, build=4)
PAYLOAD = bytes(range(256)) + b"odd"


def spki(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def signer(key: ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    return lambda message: key.sign(message, ec.ECDSA(hashes.SHA256()))


def built(counter: int = 7, header_size: int = 32) -> bytes:
    return mcuboot.build(
        PAYLOAD,
        version=VERSION,
        security_counter=counter,
        key_spki=spki(KEY),
        sign=signer(KEY),
        header_size=header_size,
    )


IMAGE = built()


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", kind, len(value)) + value


def block(magic: int, *entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("<HH", magic, 4 + len(body)) + body


def assembled(
    unprotected: Callable[[bytes], list[bytes]], protected: list[bytes] | None = None, flags: int = 0
) -> bytes:
    """An image of which every part can be wrong; ``unprotected`` is given what is to be hashed and signed."""
    inner = block(0x6908, *([tlv(0x50, struct.pack("<I", 7))] if protected is None else protected))
    if protected == []:
        inner = b""
    header = struct.pack("<IIHHIIBBHII", mcuboot.MAGIC, 0, 32, len(inner), len(PAYLOAD), flags, 1, 0, 0, 0, 0)
    signed = header + PAYLOAD + inner
    return signed + block(0x6907, *unprotected(signed))


def usual(signed: bytes) -> list[bytes]:
    return [tlv(0x10, sha256(signed)), tlv(0x01, sha256(spki(KEY))), tlv(0x22, signer(KEY)(signed))]


def verified(data: bytes) -> mcuboot.Image:
    return mcuboot.verify(data, spki(KEY), least_security_counter=7)


@pytest.mark.parametrize("header_size", [32, 0x200])
def test_a_built_image_verifies_and_keeps_its_parts(header_size: int) -> None:
    data = built(header_size=header_size)
    image = verified(data)
    assert image.payload == PAYLOAD
    assert image.version == VERSION
    assert str(image.version) == "1.2.3+4"
    assert image.security_counter == 7
    assert image.size == len(data)
    assert image.image_hash == sha256(image.signed)


def test_what_follows_the_image_is_ignored() -> None:
    image = verified(IMAGE + b"\xff" * 100 + b"anything")
    assert image.size == len(IMAGE)


@pytest.mark.parametrize("bit", [0x01, 0x80])
def test_every_flipped_byte_is_refused(bit: int) -> None:
    for trailing in (b"", b"\xff" * 70000):
        for position in range(len(IMAGE)):
            flipped = bytearray(IMAGE + trailing)
            flipped[position] ^= bit
            with pytest.raises(InputError):
                verified(bytes(flipped))


def test_every_truncation_is_a_format_error() -> None:
    for length in range(len(IMAGE)):
        with pytest.raises(FormatError):
            mcuboot.parse(IMAGE[:length])


def test_a_lower_security_counter_is_refused_and_an_equal_one_is_not() -> None:
    mcuboot.verify(IMAGE, spki(KEY), least_security_counter=7)
    with pytest.raises(InputError, match="below the stored 8"):
        mcuboot.verify(IMAGE, spki(KEY), least_security_counter=8)


def test_another_key_is_refused() -> None:
    with pytest.raises(InputError, match="no valid signature"):
        mcuboot.verify(IMAGE, spki(OTHER_KEY), least_security_counter=0)


@pytest.mark.parametrize("key", [b"", b"\x30\x00", spki(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))])
def test_a_boot_key_that_is_not_p256_is_a_format_error(key: bytes) -> None:
    with pytest.raises(FormatError):
        mcuboot.verify(IMAGE, key, least_security_counter=0)


def test_a_signer_that_holds_another_key_is_found_at_once() -> None:
    with pytest.raises(InputError, match="no valid signature"):
        mcuboot.build(PAYLOAD, version=VERSION, security_counter=1, key_spki=spki(KEY), sign=signer(OTHER_KEY))


def test_bootutils_rules_for_keys_and_signatures() -> None:
    mine, other = tlv(0x01, sha256(spki(KEY))), tlv(0x01, sha256(spki(OTHER_KEY)))

    def with_signatures(order: str) -> bytes:
        def entries(signed: bytes) -> list[bytes]:
            parts = {
                "h": tlv(0x10, sha256(signed)),
                "M": mine,
                "O": other,
                "m": tlv(0x22, signer(KEY)(signed)),
                "o": tlv(0x22, signer(OTHER_KEY)(signed)),
            }
            return [parts[letter] for letter in order]

        return assembled(entries)

    for good in ("hMm", "Mmh", "hOoMm", "hMmOo", "hOMm", "hhMm", "hMoMm", "homMm", "hMmo"):
        assert verified(with_signatures(good)).security_counter == 7, good
    for bad in ("hmM", "hm", "hOmM", "hMom", "hMmMo", "hM", "h", "hOm", "hOo"):
        with pytest.raises(InputError, match="no valid signature"):
            verified(with_signatures(bad))


@pytest.mark.parametrize(
    ("protected", "message"),
    [
        ([], "no protected security counter"),
        ([tlv(0xA0, b"vendor")], "no protected security counter"),
        ([tlv(0x50, b"\0\0\0")], "not one 32-bit"),
        ([tlv(0x50, b"\7\0\0\0"), tlv(0x50, b"\7\0\0\0")], "not one 32-bit"),
    ],
)
def test_the_security_counter_must_be_there_once(protected: list[bytes], message: str) -> None:
    with pytest.raises(InputError, match=message):
        verified(assembled(usual, protected))


def test_unknown_tlvs_are_taken_only_when_protected() -> None:
    counter = tlv(0x50, struct.pack("<I", 7))
    assert verified(assembled(usual, [tlv(0xA0, b"vendor"), counter])).protected[0].value == b"vendor"
    for kind in (0xA0, 0x50, 0x02):
        with pytest.raises(InputError, match="not allowed outside"):
            verified(assembled(lambda signed, kind=kind: [*usual(signed), tlv(kind, b"\x08\0\0\0")]))  # type: ignore[misc]


@pytest.mark.parametrize("flag", [0x04, 0x08, 0x10, 0x200, 0x400, 0x800])
def test_images_that_this_loader_cannot_start_are_refused(flag: int) -> None:
    with pytest.raises(InputError, match="not supported"):
        verified(assembled(usual, flags=flag))


def test_a_wrong_second_hash_is_refused() -> None:
    with pytest.raises(FormatError, match="not one 32-byte hash"):
        verified(assembled(lambda signed: [*usual(signed), tlv(0x10, bytes(32))]))


def test_an_unsigned_image_passes_check_and_not_verify() -> None:
    data = assembled(lambda signed: [tlv(0x10, sha256(signed))], protected=[])
    assert mcuboot.check(data).security_counter is None
    with pytest.raises(InputError):
        verified(data)


@pytest.mark.parametrize(
    ("payload", "counter", "header_size"),
    [(b"", 0, 32), (b"x", -1, 32), (b"x", 2**32, 32), (b"x", 0, 31), (b"x", 0, 65536)],
)
def test_values_that_do_not_fit_are_refused_before_signing(payload: bytes, counter: int, header_size: int) -> None:
    def never(message: bytes) -> bytes:
        raise AssertionError("asked to sign")

    with pytest.raises(FormatError):
        mcuboot.build(
            payload,
            version=VERSION,
            security_counter=counter,
            key_spki=spki(KEY),
            sign=never,
            header_size=header_size,
        )


@pytest.mark.parametrize(
    ("text", "value"), [("1.2.3", (1, 2, 3, 0)), ("255.255.65535+4294967295", (255, 255, 65535, 2**32 - 1))]
)
def test_versions_are_read(text: str, value: tuple[int, int, int, int]) -> None:
    version = mcuboot.parse_version(text)
    assert (version.major, version.minor, version.revision, version.build) == value


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3+", "256.0.0", "0.0.65536", "1.2.3.4", " 1.2.3", "1.2.3\n", "１.2.3", "-1.2.3"]
)
def test_other_versions_are_format_errors(text: str) -> None:
    with pytest.raises(FormatError):
        mcuboot.parse_version(text)


@given(st.binary(max_size=80), st.binary(max_size=200), st.integers(0, 400))
def test_hostile_bytes_give_an_image_or_a_typed_error(head: bytes, tail: bytes, cut: int) -> None:
    for data in (head + tail, IMAGE[:cut] + head, IMAGE[:32] + head + IMAGE[32 + len(head) :]):
        try:
            image = mcuboot.parse(data)
        except FormatError:
            continue
        assert image.size <= len(data)
