"""Certifying: one certificate for one unit, one unit for one key. The certificate is read by ``cryptography`` here; its
bytes are judged by ``openssl`` elsewhere."""

import base64
import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from imprint.encoding import b64, sha256_hex
from imprint.formats.birth_record import decode
from imprint.formats.mcuboot import parse
from imprint.protocol.answers import Certified
from imprint.protocol.commands import ScrapUnit
from imprint.protocol.intentions import Action, KeyOrigin
from imprint.protocol.refusals import Code
from imprint.testing.soft_unit import PrivateKey, new_key
from soft_factory import LEASE, LOT, OTHER_PRODUCT, START, Factory, new_unit

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


def test_the_certificate_is_for_this_unit_and_key(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    claimed = bench.claim(unit)
    certified = bench.certify(unit)
    leaf, ca, root = (x509.load_der_x509_certificate(one) for one in (certified.certificate, *certified.chain))
    leaf.verify_directly_issued_by(ca)
    ca.verify_directly_issued_by(root)
    assert leaf.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)[0].value == claimed.serial
    assert leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == unit.spki()
    row = factory.unit(unit)
    assert f"{leaf.serial_number:x}" == row["number"]
    assert leaf.not_valid_before_utc == START.replace(microsecond=0)
    assert row["certificate"] == sha256_hex(certified.certificate)
    assert row["public_key"] == sha256_hex(unit.spki())
    assert (row["origin"], row["challenge"]) == ("device", certified.challenge.hex())
    assert certified.challenge != claimed.challenge
    assert len(certified.challenge) == 32
    assert row["certify_leaf"] == factory.entries()[-1].leaf
    issued = factory.row("certificates", number=row["number"])
    assert (issued["certificate"], issued["hardware_id"], issued["epoch"]) == (
        row["certificate"],
        unit.hardware_id.hex(),
        1,
    )
    assert factory.row("public_keys", public_key=row["public_key"])["hardware_id"] == unit.hardware_id.hex()


def test_the_same_key_again_gets_the_same_certificate_and_a_fresh_challenge(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.claim(unit)
    first = bench.certify(unit)
    factory.clock.advance(LEASE * 50)
    again = bench.certify(unit)
    assert (again.certificate, again.chain) == (first.certificate, first.chain)
    assert again.challenge != first.challenge
    assert factory.unit(unit)["challenge"] == again.challenge.hex()
    assert len(factory.rows("certificates")) == 1
    assert factory.entries()[-1].type == "unit.certificate-repeated"
    assert factory.counts() == {"in_work": 1}


def test_another_key_of_a_certified_unit_is_refused(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.to("certified", unit)
    before = factory.unit(unit)
    unit.key = new_key("ed25519")
    with factory.refuses(Code.WRONG_KEY):
        bench.certify(unit)
    assert factory.unit(unit) == before


@pytest.mark.parametrize("state", ["certified", "permitted", "complete", "quarantined", "scrapped"])
def test_one_public_key_for_two_units_marks_the_first(factory: Factory, state: str) -> None:
    bench, owner = factory.bench(), new_unit()
    bench.to("certified" if state == "scrapped" else state, owner)
    if state == "scrapped":
        factory.platform.command(ScrapUnit(serial="SN-0001", reason="burnt"))
    clone = new_unit(key=owner.key)
    bench.claim(clone)
    with factory.refuses(Code.KEY_TAKEN):
        bench.certify(clone)
    assert (factory.unit(owner)["contested"], factory.unit(owner)["state"]) == (1, state)
    assert (factory.unit(clone)["state"], factory.unit(clone)["certificate"]) == ("claimed", None)
    entry = factory.entries()[-1]
    assert entry.private["public_key"] == sha256_hex(owner.spki())
    assert entry.private["contested"]["hardware_id"] == owner.hardware_id.hex()


@pytest.mark.parametrize("csr", [b"", b"\x30\x00", b"not a request"])
def test_a_request_that_is_none(factory: Factory, csr: bytes) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.claim(unit)
    with factory.refuses(Code.BAD_REQUEST):
        bench.must(bench.certifying(unit, csr=csr))


def test_a_request_whose_signature_is_anothers(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.claim(unit)
    csr = unit.csr()
    with factory.refuses(Code.BAD_REQUEST):
        bench.must(bench.certifying(unit, csr=csr[:-1] + bytes([csr[-1] ^ 1])))


def test_a_key_of_another_algorithm_or_origin_than_the_profiles(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit(key=new_key("p256"))
    bench.claim(unit)
    with factory.refuses(Code.WRONG_KEY):
        bench.certify(unit)
    unit.key = new_key("ed25519")
    with factory.refuses(Code.WRONG_KEY):
        bench.must(bench.certifying(unit, origin=KeyOrigin.INJECTED))
    bench.certify(unit)


def test_the_weak_key_of_a_known_seed(factory: Factory) -> None:
    """The all-zero public key has an order of 4: anybody can sign for it."""
    bench, unit = factory.bench(), new_unit()
    bench.claim(unit)
    csr = unit.csr().replace(unit.spki()[-32:], bytes(32))
    with factory.refuses(Code.WEAK_KEY):
        bench.must(bench.certifying(unit, csr=csr))


# --- keys that the chip's vendor made ---


def vendor_word(key: PrivateKey) -> tuple[bytes, bytes]:
    """A chip vendor's root, and its certificate for a chip's key."""
    vendor = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Chips Root")])
    chip = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chip 1")])

    def made(subject: x509.Name, public: PublicKey, *, ca: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(START)
            .not_valid_after(START + timedelta(days=1000))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        return builder.sign(vendor, hashes.SHA256()).public_bytes(Encoding.DER)

    return made(name, vendor.public_key(), ca=True), made(chip, key.public_key(), ca=False)


def test_a_preprovisioned_key_needs_its_vendors_word(factory: Factory) -> None:
    unit = new_unit()
    root, chip = vendor_word(unit.key)
    yaml = OTHER_PRODUCT.replace(b"key_origin: device", b"key_origin: preprovisioned")
    bench = factory.other_bench(b"vendor_roots: [" + b64(root).encode() + b"]\n", yaml)
    bench.claim(unit)
    origin = KeyOrigin.PREPROVISIONED
    with factory.refuses(Code.WRONG_KEY):
        bench.must(bench.certifying(unit))
    for vendor_certificate in (None, b"", root[:-1]):
        with factory.refuses(Code.BAD_REQUEST):
            bench.must(bench.certifying(unit, origin=origin, vendor_certificate=vendor_certificate))
    factory.clock.advance(-LEASE)
    with factory.refuses(Code.BAD_REQUEST):
        bench.must(bench.certifying(unit, origin=origin, vendor_certificate=chip))
    factory.clock.advance(LEASE)
    certified = bench.must(bench.certifying(unit, origin=origin, vendor_certificate=chip)).result
    assert isinstance(certified, Certified)
    bench.soft.load(unit, certified.certificate)
    image = parse(bench.soft.package.firmware).image_hash.hex()
    bench.must(bench.permitting(unit, {"hardware-id": unit.hardware_id.hex(), "firmware": image}))
    completed = bench.complete(unit, bytes.fromhex(factory.unit(unit)["challenge"]))
    key = decode(base64.b64decode(json.loads(completed.record)["payload"])).key
    assert (key.origin, key.seen_by) == ("preprovisioned", ("chip vendor",))
    assert "the line saw no secret" in key.custody


# --- what a station must hold first ---


@pytest.mark.parametrize("fence", [0, 2, 2**31 - 1])
def test_a_fence_that_is_not_the_last(factory: Factory, fence: int) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.claim(unit)
    with factory.refuses(Code.STALE_FENCE):
        bench.certify(unit, fence)


def test_another_station_with_the_right_fence(factory: Factory) -> None:
    unit = new_unit()
    factory.bench().claim(unit)
    with factory.refuses(Code.STALE_FENCE):
        factory.bench("bench-2").certify(unit)
    assert factory.unit(unit)["contested"] == 0


def test_a_unit_that_nobody_claimed_or_in_another_lot(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    for act in (bench.certify, bench.permit, bench.release, bench.quarantine):
        with factory.refuses(Code.NOT_CLAIMED):
            act(unit)
    factory.add_lot("lot-2")
    other = factory.bench(lot="lot-2")
    bench.claim(unit)
    with factory.refuses(Code.NOT_CLAIMED):
        other.certify(unit)
    assert bench.permit(unit, action=Action.FUSE_BOOT_KEY).action == "fuse-boot-key"
    assert factory.row("lots", lot=LOT)["in_work"] == 1
