"""Starting again: the next epoch of the same hardware, in the same place, with another certificate."""

import asyncio
import json
from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.x509 import load_der_x509_certificate

from imprint.authority.production.commands import CloseLotUnder
from imprint.formats.crl import Reason
from imprint.protocol.commands import ClearUnit, RevokeUnit, ReworkUnit, ScrapUnit
from imprint.protocol.refusals import Code
from imprint.testing.soft_unit import SoftUnit, new_key
from soft_factory import GRANT, LEASE, LOT, OTHER_LOT, Bench, Factory, copied_factory, copy_workspace, new_unit

REWORK = ReworkUnit(serial="SN-0001", reason="antenna replaced")


def shipped(factory: Factory) -> tuple[Bench, SoftUnit]:
    bench, unit = factory.bench(), new_unit()
    bench.imprint(unit)
    return bench, unit


def epochs(factory: Factory, unit: SoftUnit) -> list[tuple[int, str, int]]:
    rows = factory.rows("units", hardware_id=unit.hardware_id.hex())
    return [(row["epoch"], row["state"], row["live"]) for row in rows]


def again(bench: Bench, unit: SoftUnit) -> int:
    """Through its next epoch, with the key that it has; the fence."""
    fence = bench.claim(unit, run="again").fence
    bench.certify(unit, fence)
    bench.complete(unit, bench.permit(unit, fence).challenge, fence)
    return fence


def test_one_decision_ends_an_epoch_and_begins_the_next(factory: Factory) -> None:
    _, unit = shipped(factory)
    before, size = factory.unit(unit), factory.size()
    assert factory.platform.command(REWORK) == "rework"
    (entry,) = factory.entries(size)
    assert (entry.type, entry.public, entry.private["reason"]) == (
        "unit.reworked",
        {"certificate": before["certificate"]},
        REWORK.reason,
    )
    assert factory.rows("revocations") == [
        {"number": before["number"], "revoked": entry.time, "reason": "superseded", "note": REWORK.reason}
    ]
    old, new = factory.rows("units", hardware_id=unit.hardware_id.hex())
    assert old == {**before, "state": "superseded", "live": 0}
    kept = ("hardware_id", "lot", "product", "serial", "unit_values")
    assert {name: new[name] for name in kept} == {name: before[name] for name in kept}
    assert [name for name in ("number", "challenge") if before[name] == new[name]] == []
    assert (len(new["number"]), len(new["challenge"])) == (32, 64)
    assert new["not_before"] == "2026-11-21T11:37:07.000Z"
    assert (new["epoch"], new["state"], new["live"], new["contested"]) == (2, "rework", 1, 0)
    assert (new["station"], new["run"], new["fence"]) == ("", "", before["fence"] + 1)
    assert new["claim_leaf"] == entry.leaf == factory.row("lots", lot=LOT)["last_leaf"]
    for name in ("origin", "public_key", "certificate", "record", "certify_leaf", "complete_leaf"):
        assert new[name] is None
    assert factory.counts() == {"in_work": 1}


@pytest.mark.parametrize("state", ["complete", "quarantined"])
def test_the_same_board_with_the_same_key_gets_another_certificate(factory: Factory, state: str) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.to(state, unit)
    first = factory.unit(unit)
    factory.platform.command(REWORK)
    claimed = bench.claim(unit, run="again")
    assert (claimed.state, claimed.serial, claimed.fence) == ("rework", first["serial"], first["fence"] + 2)
    assert claimed.values == json.loads(first["unit_values"])
    certified = bench.certify(unit, claimed.fence)
    completed = bench.complete(unit, bench.permit(unit, claimed.fence).challenge, claimed.fence)
    row = factory.unit(unit)
    assert row["public_key"] == first["public_key"]
    assert row["certificate"] != first["certificate"]
    assert f"{load_der_x509_certificate(certified.certificate).serial_number:x}" == row["number"] != first["number"]
    record = json.loads(b64decode(json.loads(completed.record)["payload"]))["predicate"]
    assert (record["epoch"], record["serial"], record["claim_leaf"]) == (2, first["serial"], row["claim_leaf"])
    assert epochs(factory, unit) == [(1, "superseded", 0), (2, "complete", 1)]
    assert factory.counts() == {"shipped": 1}
    assert [row["number"] for row in factory.rows("revocations")] == [first["number"]]


def test_a_unit_can_be_reworked_again(factory: Factory) -> None:
    bench, unit = shipped(factory)
    for _ in range(2):
        factory.platform.command(REWORK)
        again(bench, unit)
    assert epochs(factory, unit) == [(1, "superseded", 0), (2, "superseded", 0), (3, "complete", 1)]
    assert [row["fence"] for row in factory.rows("units")] == [1, 3, 5]
    assert len(factory.rows("revocations")) == 2
    assert len(factory.rows("certificates")) == 3


# --- no unit more than the grant ---


def test_the_place_stays_the_units_own(factory: Factory) -> None:
    """Neither time, nor a station that lets go, nor an officer gives it to another board."""
    bench, unit = shipped(factory)
    for _ in range(GRANT - 1):
        bench.imprint(new_unit())
    factory.platform.command(REWORK)
    stranger = new_unit()

    def nobody_else() -> None:
        factory.clock.advance(LEASE * 100)
        with factory.refuses(Code.GRANT_USED_UP):
            bench.claim(stranger)
        assert factory.counts() == {"in_work": 1, "shipped": GRANT - 1}

    nobody_else()
    fence = bench.claim(unit, run="again").fence
    nobody_else()
    assert bench.release(unit, fence) == "rework"
    nobody_else()
    factory.platform.command(ClearUnit(serial="SN-0001", reason="looked at"))
    nobody_else()
    fence = bench.claim(unit, run="once more").fence
    bench.quarantine(unit, fence)
    assert factory.platform.command(ClearUnit(serial="SN-0001", reason="looked at")) == "rework"
    nobody_else()
    again(bench, unit)
    assert factory.counts() == {"shipped": GRANT}


def test_a_station_that_lets_go_leaves_the_unit_for_any_station(factory: Factory) -> None:
    bench, unit = shipped(factory)
    factory.platform.command(REWORK)
    fence = bench.claim(unit, run="again").fence
    bench.release(unit, fence)
    with factory.refuses(Code.STALE_FENCE):
        bench.certify(unit, fence)
    assert factory.bench("bench-2").claim(unit, run="elsewhere").fence == fence + 1
    with factory.refuses(Code.ALREADY_CLAIMED):
        bench.claim(unit, run="a third")
    assert factory.unit(unit)["contested"] == 1


def test_a_reworked_unit_keeps_its_lot(factory: Factory) -> None:
    _, unit = shipped(factory)
    factory.platform.command(REWORK)
    factory.add_lot(OTHER_LOT)
    with factory.refuses(Code.ALREADY_CLAIMED):
        factory.bench(lot=OTHER_LOT).claim(unit)
    with factory.refuses(Code.WRONG_STATE):
        factory.platform.command(CloseLotUnder(lot=LOT, checkpoint=factory.platform.checkpoint().note))


def test_a_reworked_unit_that_is_lost_is_scrapped(factory: Factory) -> None:
    shipped(factory)
    factory.platform.command(REWORK)
    known = factory.rows("revocations")
    assert factory.platform.command(ScrapUnit(serial="SN-0001", reason="not found")) == "scrapped"
    assert (factory.rows("revocations"), factory.entries()[-1].public) == (known, {})
    assert factory.counts() == {"scrapped": 1}


# --- stale requests and keys ---


def test_what_an_earlier_epoch_still_asks_comes_too_late(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    challenge = bench.to("quarantined", unit)
    factory.platform.command(REWORK)
    for _ in range(2):
        for intention in (bench.certifying(unit), bench.completing(unit, challenge)):
            with factory.refuses(Code.STALE_FENCE):
                bench.must(intention)
        bench.claim(unit, run="again")


def test_a_compromised_key_is_not_certified_again(factory: Factory) -> None:
    bench, unit = shipped(factory)
    factory.platform.command(RevokeUnit(serial="SN-0001", reason=Reason.KEY_COMPROMISE, note="read out"))
    known = factory.rows("revocations")
    size = factory.size()
    factory.platform.command(REWORK)
    assert factory.rows("revocations") == known, "it was revoked before, and for a reason that stays"
    assert (factory.entries(size)[0].public, factory.entries(size)[0].private["revoked"]) == ({}, None)
    fence = bench.claim(unit, run="again").fence
    with factory.refuses(Code.KEY_COMPROMISED):
        bench.certify(unit, fence)
    assert factory.unit(unit)["contested"] == 0
    compromised, unit.key = unit.key, new_key("ed25519")
    bench.certify(unit, fence)
    bench.complete(unit, bench.permit(unit, fence).challenge, fence)
    factory.platform.command(REWORK)
    fence = bench.claim(unit, run="once more").fence
    unit.key = compromised
    with factory.refuses(Code.KEY_COMPROMISED):
        bench.certify(unit, fence)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.KEY_COMPROMISE])
def test_a_key_that_ended_for_another_reason_goes_on(factory: Factory, reason: Reason) -> None:
    bench, unit = shipped(factory)
    factory.platform.command(RevokeUnit(serial="SN-0001", reason=reason, note=""))
    factory.platform.command(REWORK)
    again(bench, unit)
    assert factory.unit(unit)["state"] == "complete"


def test_the_key_stays_the_units_own(factory: Factory) -> None:
    bench, unit = shipped(factory)
    factory.platform.command(REWORK)
    clone = new_unit(key=unit.key)
    bench.claim(clone)
    with factory.refuses(Code.KEY_TAKEN):
        bench.certify(clone)


# --- what is refused ---


@pytest.mark.parametrize("state", ["claimed", "certified", "permitted", "quarantined-early"])
def test_there_must_be_an_epoch_to_end(factory: Factory, state: str) -> None:
    factory.bench().to(state, new_unit())
    with factory.refuses(Code.WRONG_STATE):
        factory.platform.command(REWORK)


def test_a_contested_unit_is_cleared_first(factory: Factory) -> None:
    """Else the clone could become the unit."""
    bench, unit = shipped(factory)
    with factory.refuses(Code.ALREADY_COMPLETE):
        bench.claim(unit, run="twin")
    with factory.refuses(Code.CONTESTED):
        factory.platform.command(REWORK)
    factory.platform.command(ClearUnit(serial="SN-0001", reason="the original"))
    factory.platform.command(REWORK)


def test_nothing_starts_again_in_a_closed_lot(factory: Factory) -> None:
    shipped(factory)
    factory.platform.command(CloseLotUnder(lot=LOT, checkpoint=factory.platform.checkpoint().note))
    with factory.refuses(Code.LOT_CLOSED):
        factory.platform.command(REWORK)


def test_a_serial_that_no_unit_has(factory: Factory) -> None:
    with factory.refuses(Code.UNKNOWN_UNIT):
        factory.platform.command(REWORK)


# --- what a station can know ---


def test_a_station_learns_of_its_own_units_end(factory: Factory) -> None:
    bench, unit = shipped(factory)
    with factory.reader.store.reading() as store:
        certificate = store.blob(factory.unit(unit)["certificate"])
    assert asyncio.run(bench.port.is_valid(certificate))
    size = factory.size()
    factory.platform.command(REWORK)
    assert not asyncio.run(bench.port.is_valid(certificate))
    assert factory.size() == size + 1, "asking is no decision"
    again(bench, unit)
    with factory.reader.store.reading() as store:
        newer = store.blob(factory.unit(unit)["certificate"])
    assert asyncio.run(bench.port.is_valid(newer))


def test_a_certificate_that_the_authority_does_not_know_is_not_valid(factory: Factory, tmp_path: Path) -> None:
    """As when it was restored from a backup that is older: the station must not call such a unit complete."""
    factory.platform.checkpoint()
    older = copy_workspace(factory.folder, tmp_path / "older")
    bench, unit = shipped(factory)
    with factory.reader.store.reading() as store:
        certificate = store.blob(factory.unit(unit)["certificate"])
    with copied_factory(older, tmp_path / "copy") as copy:
        assert not asyncio.run(copy.bench().port.is_valid(certificate))
    assert asyncio.run(bench.port.is_valid(certificate))
