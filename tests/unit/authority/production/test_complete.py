"""Completing: each piece of evidence is falsified once; what stands in the record is what was pinned and seen."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from imprint.clock import to_text
from imprint.encoding import sha256_hex
from imprint.formats.birth_record import decode
from imprint.formats.dsse import IN_TOTO
from imprint.formats.mcuboot import parse
from imprint.keys.verify import verify
from imprint.protocol.answers import Completed
from imprint.protocol.evidence import Grade, Measurement, Observation
from imprint.protocol.intentions import Action
from imprint.protocol.refusals import Code
from imprint.testing.soft_station import observations
from imprint.testing.soft_unit import SoftUnit, new_key
from soft_factory import LOT, OTHER_LOT, RECIPE, SIGNERS, START, Factory, new_unit

TIME = "2026-11-21T11:37:07.123Z"
SEEN = {"debug": "locked", "self-test": "passed"}


def measured(*, passed: bool) -> Measurement:
    return Measurement(step="test", name="vdd", value="3.301", unit="V", low="3.2", high="3.4", passed=passed)


def payload(completed: Completed) -> bytes:
    """The record's bytes, after its signature was checked as DSSE says: over the type and the payload."""
    envelope = json.loads(completed.record)
    body = base64.b64decode(envelope["payload"])
    assert envelope["payloadType"] == IN_TOTO
    signed = b"DSSEv1 %d %s %d %s" % (len(IN_TOTO), IN_TOTO.encode(), len(body), body)
    (signature,) = envelope["signatures"]
    assert signature["keyid"] == sha256_hex(SIGNERS["record"].public_key)
    assert verify(SIGNERS["record"].public_key, signed, base64.b64decode(signature["sig"]))
    return body


def test_the_record_says_what_the_lot_pins_and_what_was_seen(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    unit.statement = replace(unit.statement, session=7)
    challenge = bench.to("permitted", unit)
    answer = bench.must(bench.completing(unit, challenge, measurements=(measured(passed=True),)))
    assert isinstance(answer.result, Completed)
    record = decode(payload(answer.result))
    lot, row = factory.row("lots", lot=LOT), factory.unit(unit)
    assert (record.product, record.lot, record.serial, record.epoch) == ("lamp", LOT, "SN-0001", 1)
    assert record.hardware_id == unit.hardware_id.hex()
    assert record.values == {"mac": "02:00:5e:00:00:01"}
    assert (record.key.origin, record.key.algorithm) == ("device", "ed25519")
    assert record.key.spki_sha256 == sha256_hex(unit.spki())
    assert record.certificate_sha256 == row["certificate"] == unit.statement.cert.hex()
    assert record.recipe_sha256 == lot["recipe"] == sha256_hex(RECIPE.encode())
    firmware = bench.soft.package.firmware
    assert record.firmware.image_sha256 == lot["firmware"] == sha256_hex(firmware)
    assert record.firmware.image_hash == parse(firmware).image_hash.hex()
    assert (record.firmware.version, record.firmware.security_counter) == ("1.0.0+0", 2)
    assert record.station == "bench-1"
    assert (record.claim_leaf, record.certify_leaf) == (row["claim_leaf"], row["certify_leaf"])
    assert (record.session_counter, record.made_at) == (7, to_text(START))
    assert [(one.name, one.value, one.low, one.high, one.passed) for one in record.measurements] == [
        ("vdd", "3.301", "3.2", "3.4", True)
    ]
    evidence = {(one.claim, one.grade): (one.value, one.source) for one in record.evidence}
    assert evidence == {
        ("hardware-id", "unit-signed"): (unit.hardware_id.hex(), "unit"),
        ("identity", "unit-signed"): (row["certificate"], "unit"),
        ("firmware", "unit-signed"): (parse(firmware).image_hash.hex(), "unit"),
        ("boot-key", "unit-signed"): (sha256_hex(factory.platform.boot_key), "unit"),
        ("debug", "unit-signed"): ("locked", "unit"),
        ("debug", "station-observed"): ("locked", "bench-1"),
        ("self-test", "station-observed"): ("passed", "bench-1"),
    }
    entry = factory.entries()[-1]
    assert (entry.type, entry.leaf) == ("unit.completed", row["complete_leaf"])
    assert entry.public == {"record": sha256_hex(answer.result.record)} == {"record": row["record"]}
    assert lot["profile"] == sha256_hex(factory.reader.catalogue._products["lamp"].profile.encode())


# --- the unit's own word ---


LIES: list[dict[str, Any]] = [
    *({"hw": value} for value in (bytes(8), b"")),
    *({name: value} for name in ("cert", "image", "boot_key") for value in (bytes(32), b"")),
    *({"debug": level} for level in (0, 1, 3)),
    *({"security": counter} for counter in (1, 0)),
]


def test_a_statement_that_contradicts(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    challenge = bench.to("permitted", unit)
    honest = unit.statement
    for lie in LIES:
        unit.statement = replace(honest, **lie)
        with factory.refuses(Code.EVIDENCE_CONTRADICTS):
            bench.complete(unit, challenge)
        assert factory.unit(unit)["state"] == "permitted"
    unit.statement = honest
    bench.complete(unit, challenge)


@pytest.mark.parametrize("security", [2, 3])
def test_a_security_counter_that_is_high_enough(factory: Factory, security: int) -> None:
    bench, unit = factory.bench(), new_unit()
    challenge = bench.to("permitted", unit)
    unit.statement = replace(unit.statement, security=security)
    bench.complete(unit, challenge)


def test_a_statement_signed_by_another_key(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    challenge = bench.to("permitted", unit)
    swapped = SoftUnit(hardware_id=unit.hardware_id, key=new_key("ed25519"))
    swapped.statement = unit.statement
    with factory.refuses(Code.EVIDENCE_CONTRADICTS):
        bench.complete(swapped, challenge)


def test_a_signature_without_the_context(factory: Factory) -> None:
    """The unit's key signs other things too; none of them is a statement."""
    bench, unit = factory.bench(), new_unit()
    statement, _ = unit.prove(bench.to("permitted", unit))
    signature = unit.key.sign(statement)  # type: ignore[call-arg]
    with factory.refuses(Code.EVIDENCE_CONTRADICTS):
        bench.must(bench.completing(unit, b"", statement=statement, signature=signature))


def test_a_statement_over_an_earlier_challenge(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    earlier = [bench.claim(unit).challenge, bench.certify(unit).challenge, b"", bytes(32)]
    last = bench.permit(unit).challenge
    for challenge in earlier:
        with factory.refuses(Code.EVIDENCE_CONTRADICTS):
            bench.complete(unit, challenge)
    bench.complete(unit, last)


@pytest.mark.parametrize("statement", [b"", b"\xa0", b"\xff" * 40])
def test_a_signed_statement_that_is_none(factory: Factory, statement: bytes) -> None:
    from imprint.formats.provisioning_group import STATEMENT_CONTEXT

    bench, unit = factory.bench(), new_unit()
    bench.to("permitted", unit)
    signature = unit.key.sign(STATEMENT_CONTEXT + statement)  # type: ignore[call-arg]
    with factory.refuses(Code.BAD_REQUEST):
        bench.must(bench.completing(unit, b"", statement=statement, signature=signature))


# --- the station's word ---


OTHERS = {
    **{"debug": "open", "self-test": "failed", "firmware": "00" * 32},
    **{"hardware-id": "00" * 8, "boot-key": "", "identity": "00" * 32},
}


def test_a_station_that_contradicts(factory: Factory) -> None:
    """One that says so of its own accord, although the unit swears to the opposite."""
    bench, unit = factory.bench(), new_unit()
    challenge = bench.to("permitted", unit)
    for claim, value in OTHERS.items():
        with factory.refuses(Code.EVIDENCE_CONTRADICTS):
            bench.must(bench.completing(unit, challenge, observed=observations({**SEEN, claim: value})))


@pytest.mark.parametrize("seen", [{}, {"debug": "locked"}])
def test_a_claim_that_nobody_makes_is_too_weak(factory: Factory, seen: dict[str, str]) -> None:
    bench, unit = factory.bench(), new_unit()
    challenge = bench.to("permitted", unit)
    with factory.refuses(Code.EVIDENCE_TOO_WEAK):
        bench.must(bench.completing(unit, challenge, observed=observations(seen)))


def test_below_the_least_grade_is_too_weak(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    challenge = bench.to("permitted", unit)
    declared = (Observation(claim="self-test", value="passed", grade=Grade.DECLARED, time=TIME),)
    with factory.refuses(Code.EVIDENCE_TOO_WEAK):
        bench.must(bench.completing(unit, challenge, observed=declared))


@pytest.mark.parametrize("grade", [Grade.ATTESTED, Grade.UNIT_SIGNED])
def test_a_station_cannot_lift_its_own_grade(factory: Factory, grade: Grade) -> None:
    bench, unit = factory.other_bench(b"evidence: {self-test: unit-signed}\n"), new_unit()
    challenge = bench.to("permitted", unit)
    lifted = (Observation(claim="self-test", value="passed", grade=grade, time=TIME),)
    with factory.refuses(Code.EVIDENCE_TOO_WEAK):
        bench.must(bench.completing(unit, challenge, observed=lifted))
    usual = factory.bench()
    challenge = usual.to("permitted", other := new_unit())
    result = usual.must(usual.completing(other, challenge, observed=lifted)).result
    assert isinstance(result, Completed)
    graded = {(one.claim, one.source): one.grade for one in decode(payload(result)).evidence}
    assert graded["self-test", "bench-1"] == "station-observed"


def test_an_attested_claim_is_out_of_every_stations_reach(factory: Factory) -> None:
    bench, unit = factory.other_bench(b"evidence: {firmware: attested}\n"), new_unit()
    challenge = bench.to("permitted", unit)
    with factory.refuses(Code.EVIDENCE_TOO_WEAK):
        bench.complete(unit, challenge)


def test_measurements_out_of_their_limits(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    challenge = bench.to("permitted", unit)
    measurements = (measured(passed=True), measured(passed=False))
    with factory.refuses(Code.EVIDENCE_CONTRADICTS):
        bench.must(bench.completing(unit, challenge, measurements=measurements))


@pytest.mark.parametrize(
    "bad",
    [
        {"observed": (Observation(claim="power-cycle", value="done", grade=Grade.DECLARED, time="yesterday"),)},
        {"observed": (Observation(claim="", value="", grade=Grade.DECLARED, time=TIME),)},
        {"observed": (Observation(claim="blessed", value="by a bishop", grade=Grade.DECLARED, time=TIME),)},
        {"measurements": (replace(measured(passed=True), name=""),)},
    ],
    ids=str,
)
def test_what_cannot_stand_in_a_record(factory: Factory, bad: dict[str, Any]) -> None:
    bench, unit = factory.bench(), new_unit()
    challenge = bench.to("permitted", unit)
    observed = (*observations(SEEN), *bad.get("observed", ()))
    with factory.refuses(Code.BAD_REQUEST):
        bench.must(bench.completing(unit, challenge, **{**bad, "observed": observed}))


# --- locks ---


def test_a_product_that_asks_for_a_lock_gets_one(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    challenge = bench.to("certified", unit)
    with factory.refuses(Code.WRONG_STATE):
        bench.complete(unit, challenge)


@pytest.mark.parametrize("debug", [0, 2])
def test_a_product_that_asks_for_no_lock_needs_none(factory: Factory, debug: int) -> None:
    bench, unit = factory.other_bench(b"evidence: {debug: none}\n"), new_unit()
    unit.statement = replace(unit.statement, debug=debug)
    challenge = bench.to("certified", unit)
    bench.must(bench.completing(unit, challenge, observed=observations({"self-test": "passed"})))
    assert factory.counts(OTHER_LOT) == {"shipped": 1}


# --- custody ---


def test_the_station_is_never_off_the_list_of_those_who_could_have_seen_a_key(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    record = decode(payload(bench.imprint(unit)))
    assert record.key.seen_by == ("possibly the station",)
    assert "boot key verified" in record.key.custody
    assert "station's word" in record.key.custody


def test_a_product_that_does_without_a_boot_key_says_so_in_its_records(factory: Factory) -> None:
    bench, unit = factory.other_bench(b"evidence: {boot-key: none}\n"), new_unit()
    challenge = bench.to("permitted", unit)
    unit.statement = replace(unit.statement, boot_key=b"")
    record = decode(payload(bench.complete(unit, challenge)))
    assert "nothing verified" in record.key.custody
    assert record.key.seen_by == ("possibly the station",)
    assert {one.value for one in record.evidence if one.claim == "boot-key"} == {""}


def test_a_complete_unit_is_done_with(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.imprint(unit)
    for act in (
        lambda: bench.permit(unit),
        lambda: bench.permit(unit, action=Action.FUSE_BOOT_KEY),
        lambda: bench.certify(unit),
    ):
        with factory.refuses(Code.WRONG_STATE):
            act()
