"""The provisioning group as a station meets it: requests and answers as bytes, keys judged by others."""

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from smp.message import Request
from virtual_bench import KEY, OTHER_KEY, ask, image, install, new_unit, spki

from imprint.encoding import sha256
from imprint.formats import mcuboot
from imprint.formats import provisioning_group as group
from imprint.formats.bench_port import Attached, Locked
from imprint.formats.provisioning_group import DebugLevel, KeyAlgorithm, ProvisioningErr, UnitStatement
from imprint.virtual.fault import Faults
from imprint.virtual.unit import Unit

IMAGE = image("1.0.0", 5)
NONCE = bytes(range(32))


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    """A unit with a fused boot key whose application runs."""
    fresh = new_unit(tmp_path)
    ask(fresh, group.BootKeyWriteRequest(pub=spki()))
    install(fresh, IMAGE)
    return fresh


def refused(code: ProvisioningErr) -> dict[str, object]:
    return {"err": {"group": 73, "rc": int(code)}}


def certificate_for(public: bytes) -> bytes:
    key = serialization.load_der_public_key(public)
    assert isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)
    name = x509.Name([])
    moment = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key).serial_number(1)
    builder = builder.not_valid_before(moment).not_valid_after(moment)
    builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"x" * 900), False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def write_certificate(unit: Unit, encoded: bytes, piece: int = 400) -> dict[str, object]:
    answer: dict[str, object] = {}
    for start in range(0, len(encoded), piece):
        answer = ask(
            unit,
            group.CertificateWriteRequest(off=start, len=len(encoded), data=encoded[start : start + piece]),
        )
    return answer


def read_certificate(unit: Unit) -> bytes:
    found = bytearray()
    while True:
        answer = ask(unit, group.CertificateReadRequest(off=len(found)))
        assert answer["off"] == len(found)
        found += answer["data"]
        if len(found) == answer["len"]:
            return bytes(found)


def lock(unit: Unit) -> None:
    ask(unit, group.DebugWriteRequest(level=DebugLevel.LOCKED))
    unit.power_cycle()


def test_a_new_unit_says_who_it_is_from_its_rom(tmp_path: Path) -> None:
    unit = new_unit(tmp_path)
    answer = ask(unit, group.IdentifyRequest())
    assert answer == {
        "v": 1,
        "hw": unit.hardware_id,
        "part": "imprint-virtual",
        "mode": 0,
        "boots": 1,
        "boot_error": "",
    }
    assert 4 <= len(answer["hw"]) <= 32


@pytest.mark.parametrize(
    "request_",
    [
        group.KeyReadRequest(),
        group.KeyWriteRequest(alg=0),
        group.CsrRequest(),
        group.CertificateReadRequest(off=0),
        group.CertificateWriteRequest(off=0, len=1, data=b"x"),
        group.DebugWriteRequest(level=2),
        group.CountersRequest(),
        group.ProveRequest(nonce=NONCE),
        group.SelfTestRequest(),
    ],
)
def test_what_needs_a_verified_application_is_refused_by_the_rom(tmp_path: Path, request_: Request) -> None:
    assert ask(new_unit(tmp_path), request_) == refused(ProvisioningErr.WRONG_MODE)


def test_the_boot_key_is_burnt_once(tmp_path: Path) -> None:
    unit = new_unit(tmp_path)
    assert ask(unit, group.BootKeyReadRequest()) == {"hash": b""}
    assert ask(unit, group.BootKeyWriteRequest(pub=b"no key")) == refused(ProvisioningErr.BAD_VALUE)
    for _ in range(2):
        assert ask(unit, group.BootKeyWriteRequest(pub=spki())) == {"hash": sha256(spki())}
    assert ask(unit, group.BootKeyWriteRequest(pub=spki(OTHER_KEY))) == refused(ProvisioningErr.FUSED)
    assert ask(unit, group.BootKeyReadRequest()) == {"hash": sha256(spki())}


def test_a_boot_key_burnt_under_an_image_of_another_key_stops_that_image(tmp_path: Path) -> None:
    unit = new_unit(tmp_path)
    install(unit, image("1.0.0", 1, key=OTHER_KEY))
    assert ask(unit, group.IdentifyRequest())["mode"] == group.Mode.APPLICATION
    ask(unit, group.BootKeyWriteRequest(pub=spki()))
    unit.power_cycle()
    answer = ask(unit, group.IdentifyRequest())
    assert (answer["mode"], answer["boot_error"]) == (0, "primary image: no valid signature by the boot key")


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_a_key_is_made_once_and_signs_its_request(unit: Unit, algorithm: KeyAlgorithm) -> None:
    assert ask(unit, group.KeyReadRequest()) == refused(ProvisioningErr.NO_KEY)
    assert ask(unit, group.CsrRequest()) == refused(ProvisioningErr.NO_KEY)
    made = ask(unit, group.KeyWriteRequest(alg=algorithm))
    assert made["made"] is True
    again = ask(unit, group.KeyWriteRequest(alg=1 - algorithm))
    assert again == {"alg": int(algorithm), "pub": made["pub"], "made": False}
    assert ask(unit, group.KeyReadRequest()) == {"alg": int(algorithm), "pub": made["pub"]}
    request = x509.load_der_x509_csr(ask(unit, group.CsrRequest())["csr"])
    assert request.is_signature_valid
    assert (
        request.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        == made["pub"]
    )
    assert ask(unit, group.CsrRequest()) == ask(unit, group.CsrRequest())


def test_an_unknown_algorithm_is_a_bad_value(unit: Unit) -> None:
    assert ask(unit, group.KeyWriteRequest(alg=7)) == refused(ProvisioningErr.BAD_VALUE)


def test_a_certificate_goes_in_and_comes_back_in_pieces(unit: Unit) -> None:
    assert write_certificate(unit, b"x" * 10) == refused(ProvisioningErr.NO_KEY)
    public = ask(unit, group.KeyWriteRequest(alg=0))["pub"]
    assert ask(unit, group.CertificateReadRequest(off=0)) == {"off": 0, "len": 0, "data": b""}
    encoded = certificate_for(public)
    assert len(encoded) > 1024
    assert write_certificate(unit, encoded) == {"off": len(encoded)}
    assert read_certificate(unit) == encoded
    assert ask(unit, group.CertificateReadRequest(off=len(encoded) + 1)) == refused(ProvisioningErr.BAD_VALUE)
    assert ask(unit, group.CertificateReadRequest(off=-1)) == refused(ProvisioningErr.BAD_VALUE)


def test_a_certificate_that_is_none_or_anothers_is_refused_and_the_stored_one_stays(unit: Unit) -> None:
    public = ask(unit, group.KeyWriteRequest(alg=0))["pub"]
    good = certificate_for(public)
    write_certificate(unit, good)
    assert write_certificate(unit, certificate_for(spki())) == refused(ProvisioningErr.KEY_MISMATCH)
    for bad in (b"\x30\x03abc", good[:-1], good + b"\0", b"\0" * 4096):
        assert write_certificate(unit, bad) == refused(ProvisioningErr.BAD_VALUE), bad[:8]
    assert read_certificate(unit) == good


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (group.CertificateWriteRequest(off=0, len=0, data=b""), ProvisioningErr.BAD_VALUE),
        (group.CertificateWriteRequest(off=0, len=4097, data=b"x"), ProvisioningErr.BAD_VALUE),
        (group.CertificateWriteRequest(off=0, len=3, data=b"four"), ProvisioningErr.BAD_VALUE),
        (group.CertificateWriteRequest(off=-1, len=3, data=b"x"), ProvisioningErr.BAD_OFFSET),
        (group.CertificateWriteRequest(off=5, len=9, data=b"x"), ProvisioningErr.BAD_OFFSET),
    ],
)
def test_certificate_pieces_that_do_not_fit_are_refused(unit: Unit, request_: Request, code: ProvisioningErr) -> None:
    ask(unit, group.KeyWriteRequest(alg=0))
    assert ask(unit, request_) == refused(code)


def test_a_certificate_half_written_is_gone_after_a_reset(unit: Unit) -> None:
    public = ask(unit, group.KeyWriteRequest(alg=0))["pub"]
    encoded = certificate_for(public)
    ask(unit, group.CertificateWriteRequest(off=0, len=len(encoded), data=encoded[:100]))
    unit.reset()
    follow_up = group.CertificateWriteRequest(off=100, len=len(encoded), data=encoded[100:])
    assert ask(unit, follow_up) == refused(ProvisioningErr.BAD_OFFSET)


def test_the_lock_takes_hold_at_the_power_cycle_and_ends_provisioning(unit: Unit) -> None:
    public = ask(unit, group.KeyWriteRequest(alg=0))["pub"]
    assert ask(unit, group.DebugReadRequest()) == {"level": 0}
    assert ask(unit, group.DebugWriteRequest(level=2)) == {"level": 2}
    unit.reset()
    assert ask(unit, group.DebugReadRequest()) == {"level": 0}
    assert unit.attach_debugger() == Attached(level=DebugLevel.OPEN, idcode=0x2BA01477)
    assert ask(unit, group.DebugWriteRequest(level=1)) == refused(ProvisioningErr.FUSED)
    unit.power_cycle()
    assert ask(unit, group.DebugReadRequest()) == {"level": 2}
    assert unit.attach_debugger() == Locked()
    for request in (
        group.DebugWriteRequest(level=0),
        group.DebugWriteRequest(level=2),
        group.BootKeyWriteRequest(pub=spki()),
    ):
        assert ask(unit, request) == refused(ProvisioningErr.LOCKED)
    assert ask(unit, group.KeyWriteRequest(alg=0)) == {"alg": 0, "pub": public, "made": False}


def test_no_key_is_made_behind_the_lock(unit: Unit) -> None:
    lock(unit)
    assert ask(unit, group.KeyWriteRequest(alg=0)) == refused(ProvisioningErr.LOCKED)


def test_restricted_debug_gives_the_id_code_alone(unit: Unit) -> None:
    ask(unit, group.DebugWriteRequest(level=1))
    unit.power_cycle()
    assert unit.attach_debugger() == Attached(level=DebugLevel.RESTRICTED, idcode=0x2BA01477)
    assert ask(unit, group.DebugWriteRequest(level=3)) == refused(ProvisioningErr.BAD_VALUE)
    assert ask(unit, group.DebugWriteRequest(level=2)) == {"level": 2}


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_a_statement_says_what_is_and_is_signed_by_the_identity(unit: Unit, algorithm: KeyAlgorithm) -> None:
    assert ask(unit, group.ProveRequest(nonce=NONCE)) == refused(ProvisioningErr.NO_KEY)
    public = ask(unit, group.KeyWriteRequest(alg=algorithm))["pub"]
    encoded = certificate_for(public)
    write_certificate(unit, encoded)
    lock(unit)
    for expected in (1, 2):
        answer = ask(unit, group.ProveRequest(nonce=NONCE))
        signed = group.STATEMENT_CONTEXT + answer["statement"]
        key = serialization.load_der_public_key(public)
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(answer["sig"], signed, ec.ECDSA(hashes.SHA256()))
        else:
            assert isinstance(key, ed25519.Ed25519PublicKey)
            key.verify(answer["sig"], signed)
        assert UnitStatement.decode(answer["statement"]) == UnitStatement(
            v=1,
            nonce=NONCE,
            hw=unit.hardware_id,
            cert=sha256(encoded),
            image=mcuboot.parse(IMAGE).image_hash,
            version="1.0.0+0",
            security=5,
            boot_key=sha256(spki()),
            debug=2,
            session=2,
            monotonic=expected,
        )
    assert ask(unit, group.CountersRequest()) == {"session": 2, "monotonic": 2, "security": 5}


@pytest.mark.parametrize("size", [0, 15, 65])
def test_nonces_have_16_to_64_bytes(unit: Unit, size: int) -> None:
    ask(unit, group.KeyWriteRequest(alg=0))
    assert ask(unit, group.ProveRequest(nonce=bytes(size))) == refused(ProvisioningErr.BAD_VALUE)
    assert ask(unit, group.CountersRequest())["monotonic"] == 0


def test_sessions_count_application_boots_and_boots_count_all(tmp_path: Path) -> None:
    unit = new_unit(tmp_path)
    unit.reset()
    install(unit, IMAGE)
    unit.power_cycle()
    assert ask(unit, group.IdentifyRequest())["boots"] == 4
    assert ask(unit, group.CountersRequest())["session"] == 2


def test_the_self_test_measures(unit: Unit) -> None:
    answer = ask(unit, group.SelfTestRequest())
    assert answer["ok"] is True
    assert 3200 < answer["values"]["vdd_mv"] < 3400
    assert set(answer["values"]) == {"vdd_mv", "temp_mc"}


def test_faults_show(tmp_path: Path) -> None:
    unit = new_unit(tmp_path, Faults(self_test=True, false_lock=True, hang_after=12))
    install(unit, image("1.0.0", 1, size=200))
    answer = ask(unit, group.SelfTestRequest())
    assert answer["ok"] is False
    assert answer["values"]["vdd_mv"] < 3000
    lock(unit)
    assert ask(unit, group.DebugReadRequest()) == {"level": 2}
    assert unit.attach_debugger() == Attached(level=DebugLevel.OPEN, idcode=0x2BA01477)
    for _ in range(11):
        ask(unit, group.IdentifyRequest())
    with pytest.raises(AssertionError, match="no answer"):
        ask(unit, group.IdentifyRequest())
    unit.power_cycle()
    ask(unit, group.IdentifyRequest())
