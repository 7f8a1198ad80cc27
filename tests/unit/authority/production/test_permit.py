"""Permits: what was seen just before must be what the lot pins."""

from dataclasses import replace

import pytest

from imprint.authority.production.permit import MAX_REASON
from imprint.formats.mcuboot import parse
from imprint.protocol.answers import Permitted
from imprint.protocol.evidence import Grade, Observation
from imprint.protocol.intentions import Action
from imprint.protocol.refusals import Code
from imprint.testing.soft_unit import SoftUnit
from soft_factory import Factory, new_unit


def seen(factory: Factory, unit: SoftUnit) -> dict[str, str]:
    image = parse(factory.bench().soft.package.firmware).image_hash.hex()
    return {"hardware-id": unit.hardware_id.hex(), "firmware": image}


def test_a_permit_is_for_one_action_with_a_fresh_challenge(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    claimed = bench.claim(unit)
    fuse = bench.permit(unit, action=Action.FUSE_BOOT_KEY)
    bench.certify(unit)
    lock = bench.permit(unit)
    assert (fuse.action, lock.action) == ("fuse-boot-key", "lock-debug")
    assert len({claimed.challenge, fuse.challenge, lock.challenge}) == 3
    assert [len(one.challenge) for one in (fuse, lock)] == [32, 32]
    assert factory.unit(unit)["challenge"] == lock.challenge.hex()
    entry = factory.entries()[-1]
    assert (entry.type, entry.private["action"]) == ("unit.permitted", "lock-debug")


@pytest.mark.parametrize(
    ("action", "claim"),
    [(Action.LOCK_DEBUG, "firmware"), (Action.LOCK_DEBUG, "hardware-id"), (Action.FUSE_BOOT_KEY, "hardware-id")],
)
@pytest.mark.parametrize("value", [None, "", "00" * 32])
def test_what_was_not_seen_or_is_another(factory: Factory, action: Action, claim: str, value: str | None) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.to("certified" if action is Action.LOCK_DEBUG else "claimed", unit)
    before = factory.unit(unit)
    found = seen(factory, unit)
    del found[claim]
    with factory.refuses(Code.EVIDENCE_CONTRADICTS):
        bench.must(bench.permitting(unit, found if value is None else {**found, claim: value}, action))
    assert factory.unit(unit) == before


def test_fuses_do_not_wait_for_the_firmware_that_ships(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.claim(unit)
    asked = bench.permitting(unit, {"hardware-id": unit.hardware_id.hex()}, Action.FUSE_BOOT_KEY)
    assert isinstance(bench.must(asked).result, Permitted)


def test_what_was_seen_is_kept_and_no_stronger_than_a_station_can_see(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.to("certified", unit)
    time = "2026-11-21T11:37:07.123Z"
    observed = tuple(
        Observation(claim=claim, value=value, grade=Grade.ATTESTED, time=time)
        for claim, value in seen(factory, unit).items()
    )
    bench.must(replace(bench.permitting(unit, {}), observed=observed))
    assert factory.entries()[-1].private["observed"] == [
        {"claim": one.claim, "value": one.value, "grade": "station-observed", "time": time} for one in observed
    ]


@pytest.mark.parametrize("length", [0, MAX_REASON, MAX_REASON + 1, 4000])
def test_reasons_are_kept_up_to_a_length(factory: Factory, length: int) -> None:
    bench, released, quarantined = factory.bench(), new_unit(), new_unit()
    bench.claim(released)
    bench.claim(quarantined)
    assert bench.release(released, reason="r" * length) == "released"
    assert bench.quarantine(quarantined, reason="q" * length) == "quarantined"
    kept = [entry.private["reason"] for entry in factory.entries()[-2:]]
    assert kept == ["r" * min(length, 300), "q" * min(length, 300)]
