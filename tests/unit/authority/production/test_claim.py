"""Claiming: one live identity, the grant's count, leases and fences."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from imprint.authority.production.commands import CloseLotUnder
from imprint.clock import to_text
from imprint.protocol.answers import Claimed, Refused
from imprint.protocol.codec import encode_answer
from imprint.protocol.commands import ClearUnit, ExpireClaims, ScrapUnit
from imprint.protocol.intentions import ClaimUnit
from imprint.protocol.refusals import Code
from soft_factory import GRANT, LEASE, LOT, START, Factory, new_unit

INSTANT = timedelta(milliseconds=1)

# --- what a claim gives ---


def test_a_claim_gives_a_place_a_serial_and_values(factory: Factory) -> None:
    first, second = new_unit(), new_unit()
    bench = factory.bench()
    claimed = bench.claim(first)
    assert (claimed.state, claimed.serial, claimed.fence) == ("claimed", "SN-0001", 1)
    assert claimed.values == {"mac": "02:00:5e:00:00:01"}
    assert len(claimed.challenge) == 32
    again = bench.claim(second)
    assert (again.serial, again.values) == ("SN-0002", {"mac": "02:00:5e:00:00:02"})
    assert again.challenge != claimed.challenge
    row = factory.unit(first)
    assert (row["epoch"], row["station"], row["run"], row["lot"], row["product"]) == (1, "bench-1", "run", LOT, "lamp")
    assert row["challenge"] == claimed.challenge.hex()
    assert row["lease_until"] == to_text(START + LEASE)
    assert row["not_before"] == to_text(START.replace(microsecond=0))
    assert len(row["number"]) == 32
    assert row["number"] != factory.unit(second)["number"]
    assert row["claim_leaf"] == factory.entries()[-2].leaf
    assert factory.counts() == {"in_work": 2}


def test_a_hardware_id_has_4_to_32_bytes(factory: Factory) -> None:
    bench = factory.bench()
    for bad in ("", "zz", "AABBCCDD", "00 11 22 33", "0011223", "00" * 3, "00" * 33):
        with factory.refuses(Code.BAD_REQUEST):
            bench.must(ClaimUnit(lot=LOT, run="r", hardware_id=bad))
    for good in ("00" * 4, "ff" * 32):
        bench.must(ClaimUnit(lot=LOT, run="r", hardware_id=good))


def test_a_run_has_a_name(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    for bad in ("", "r" * 101, "a\n"):
        with factory.refuses(Code.BAD_REQUEST):
            bench.claim(unit, run=bad)
    for good in ("r", "r" * 100):
        bench.claim(new_unit(), run=good)


def test_no_claim_in_a_lot_that_is_unknown_or_closed(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    with factory.refuses(Code.UNKNOWN_LOT):
        bench.must(replace(bench.claiming(unit), lot="lot-x"))
    factory.platform.command(CloseLotUnder(lot=LOT, checkpoint=factory.platform.checkpoint().note))
    with factory.refuses(Code.LOT_CLOSED):
        bench.claim(unit)


# --- the same run again, and second claimants ---


def test_the_same_run_goes_on_and_the_fence_rises(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    first = bench.claim(unit)
    factory.clock.advance(LEASE / 2)
    again = bench.claim(unit)
    assert (again.state, again.serial, again.values, again.fence) == ("claimed", first.serial, first.values, 2)
    assert again.challenge != first.challenge
    row = factory.unit(unit)
    assert (row["fence"], row["challenge"]) == (2, again.challenge.hex())
    assert row["lease_until"] == to_text(START + LEASE), "going on does not make a lease longer"
    assert factory.counts() == {"in_work": 1}


@pytest.mark.parametrize("state", ["certified", "permitted"])
def test_the_same_run_goes_on_where_it_was(factory: Factory, state: str) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.to(state, unit)
    assert bench.claim(unit).state == state
    with factory.refuses(Code.STALE_FENCE):
        bench.permit(unit)
    bench.complete(unit, bench.permit(unit, fence=2).challenge, fence=2)


@pytest.mark.parametrize(
    ("state", "code"),
    [("claimed", Code.ALREADY_CLAIMED), ("complete", Code.ALREADY_COMPLETE)],
)
@pytest.mark.parametrize(("station", "run"), [("bench-1", "run-2"), ("bench-2", "run")])
def test_a_second_claimant_is_refused_and_the_first_is_contested(
    factory: Factory, state: str, code: Code, station: str, run: str
) -> None:
    unit = new_unit()
    factory.bench().to(state, unit)
    with factory.refuses(code):
        factory.bench(station).claim(unit, run=run)
    row = factory.unit(unit)
    assert (row["contested"], row["state"], row["fence"], row["run"]) == (1, state, 1, "run")
    contested = {"hardware_id": unit.hardware_id.hex(), "epoch": 1, "lot": LOT}
    assert factory.entries()[-1].private["contested"] == contested
    assert factory.row("lots", lot=LOT)["last_leaf"] == factory.entries()[-1].leaf  # the signed sum names the unit
    told = factory.entries()[-1].private["message"]
    assert ("SN-0001" in told) is (station == "bench-1")  # another station learns nothing of the unit


def test_a_claimant_in_another_lot_is_a_second_claimant(factory: Factory) -> None:
    unit = new_unit()
    factory.bench().claim(unit)
    factory.add_lot("lot-2")
    with factory.refuses(Code.ALREADY_CLAIMED):
        factory.bench(lot="lot-2").claim(unit)
    assert factory.counts("lot-2") == {}


@pytest.mark.parametrize("state", ["claimed", "certified", "permitted"])
def test_a_contested_unit_stands_still_until_it_is_cleared(factory: Factory, state: str) -> None:
    bench, unit = factory.bench(), new_unit()
    challenge = bench.to(state, unit)
    factory.bench("bench-2").clone(unit)
    for asked in (
        lambda: bench.certify(unit),
        lambda: bench.permit(unit),
        lambda: bench.complete(unit, challenge),
    ):
        with factory.refuses(Code.CONTESTED):
            asked()
    factory.clock.advance(LEASE * 2)
    with factory.refuses(Code.ALREADY_CLAIMED):
        bench.claim(unit)  # its own run: no challenge, which it could meet, would free it
    with factory.refuses(Code.ALREADY_CLAIMED):
        factory.bench("bench-2").claim(unit)
    factory.platform.command(ClearUnit(serial="SN-0001", reason="the other one was the clone"))
    row = factory.unit(unit)
    assert (row["contested"], row["run"], row["station"], row["fence"]) == (0, "", "", 2)
    taken_over = factory.bench("bench-3").claim(unit, run="after")
    assert (taken_over.state, taken_over.fence) == (state, 3)
    assert factory.unit(unit)["station"] == "bench-3"


def test_a_cleared_unit_goes_on_in_its_own_lot_alone(factory: Factory) -> None:
    unit = new_unit()
    factory.bench().to("certified", unit)
    factory.platform.command(ClearUnit(serial="SN-0001", reason="the station is broken"))
    factory.add_lot("lot-2")
    other = factory.bench(lot="lot-2")
    claim, challenge = other.challenge(unit)
    with factory.refuses(Code.NOT_CLAIMED):
        other.must(other.soft.taking_over(unit, claim, challenge))


def test_a_contested_unit_that_shipped_can_be_cleared_and_still_not_be_claimed(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.imprint(unit)
    with factory.refuses(Code.ALREADY_COMPLETE):
        bench.claim(unit)
    factory.platform.command(ClearUnit(serial="SN-0001", reason="found the clone"))
    assert factory.unit(unit)["contested"] == 0
    with factory.refuses(Code.ALREADY_COMPLETE):
        bench.claim(unit)
    assert factory.unit(unit)["contested"] == 1


def test_a_contested_place_can_be_given_back_and_not_taken_again(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.claim(unit)
    with factory.refuses(Code.ALREADY_CLAIMED):
        factory.bench("bench-2").claim(unit)
    bench.release(unit)
    assert factory.counts() == {}
    with factory.refuses(Code.CONTESTED):
        bench.claim(unit)
    factory.platform.command(ClearUnit(serial="SN-0001", reason="looked at both"))
    assert bench.claim(unit).state == "claimed"


def test_a_contested_unit_can_be_quarantined_and_not_claimed(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.to("certified", unit)
    factory.bench("bench-2").clone(unit)
    bench.quarantine(unit)
    with factory.refuses(Code.CONTESTED):
        bench.claim(unit)


# --- leases ---


def test_a_claim_past_its_lease_is_free_for_another(factory: Factory) -> None:
    unit = new_unit()
    first = factory.bench().claim(unit)
    factory.clock.advance(LEASE)
    other = factory.bench("bench-2")
    with factory.refuses(Code.ALREADY_CLAIMED):
        other.claim(unit)
    factory.platform.command(ClearUnit(serial=first.serial, reason="nobody's"))
    again = factory.bench().claim(unit)
    factory.clock.advance(LEASE + INSTANT)
    taken = other.claim(unit)
    assert (taken.serial, taken.values, taken.fence) == (first.serial, first.values, again.fence + 1)
    assert [entry.type for entry in factory.entries()[-2:]] == ["unit.expired", "unit.claimed"]
    assert factory.counts() == {"in_work": 1}
    with factory.refuses(Code.STALE_FENCE):
        factory.bench().certify(unit, fence=again.fence)


def test_the_same_run_may_go_on_after_its_lease_while_nobody_took_the_place(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.claim(unit)
    factory.clock.advance(LEASE * 3)
    assert bench.claim(unit).fence == 2


def test_an_expired_claim_makes_room(factory: Factory) -> None:
    bench = factory.bench()
    units = [new_unit() for _ in range(GRANT)]
    for unit in units:
        bench.claim(unit)
        factory.clock.advance(INSTANT)
    late = new_unit()
    factory.clock.advance(LEASE - INSTANT * GRANT)
    with factory.refuses(Code.GRANT_USED_UP):
        bench.claim(late)
    factory.clock.advance(INSTANT)
    bench.claim(late)
    assert [factory.unit(unit)["state"] for unit in units] == ["released", "claimed", "claimed"]
    assert factory.counts() == {"in_work": GRANT}


def test_a_claim_past_its_lease_takes_the_place_of_its_own_in_a_full_lot(factory: Factory) -> None:
    factory.add_lot("lot-2", count=2)
    bench, unit, stale = factory.bench(lot="lot-2"), new_unit(), new_unit()
    bench.claim(unit)
    bench.claim(stale)
    factory.clock.advance(LEASE + INSTANT)
    factory.bench("bench-2", lot="lot-2").claim(unit)
    assert [entry.type for entry in factory.entries()[-2:]] == ["unit.expired", "unit.claimed"]
    assert [factory.unit(each)["station"] for each in (unit, stale)] == ["bench-2", "bench-1"]
    assert factory.counts("lot-2") == {"in_work": 2}


@pytest.mark.parametrize("state", ["certified", "permitted", "quarantined", "complete"])
def test_a_certificate_never_expires(factory: Factory, state: str) -> None:
    bench = factory.bench()
    units = [new_unit() for _ in range(GRANT)]
    for unit in units:
        bench.to(state, unit)
    factory.clock.advance(LEASE * 1000)
    with factory.refuses(Code.GRANT_USED_UP):
        bench.claim(new_unit())
    with factory.refuses(Code.WRONG_STATE):
        factory.platform.command(ExpireClaims(lot=LOT))
    assert {factory.unit(unit)["state"] for unit in units} == {state}


def test_expired_claims_can_be_collected(factory: Factory) -> None:
    bench, old, young, done = factory.bench(), new_unit(), new_unit(), new_unit()
    bench.claim(old)
    bench.to("certified", done)
    factory.clock.advance(LEASE)
    with factory.refuses(Code.WRONG_STATE):
        factory.platform.command(ExpireClaims(lot=LOT))
    bench.claim(young)
    factory.clock.advance(INSTANT)
    factory.add_lot("lot-2")
    with factory.refuses(Code.WRONG_STATE):
        factory.platform.command(ExpireClaims(lot="lot-2"))
    assert factory.platform.command(ExpireClaims(lot=LOT)) == "expired"
    assert [factory.unit(unit)["state"] for unit in (old, young, done)] == ["released", "claimed", "certified"]
    with factory.refuses(Code.UNKNOWN_LOT):
        factory.platform.command(ExpireClaims(lot="lot-x"))


def test_a_lease_that_ends_in_one_lot_makes_no_place_in_another(factory: Factory) -> None:
    unit = new_unit()
    factory.bench().claim(unit)
    factory.add_lot("lot-2", count=1)
    other = factory.bench(lot="lot-2")
    other.to("certified", new_unit())
    factory.clock.advance(LEASE + INSTANT)
    with factory.refuses(Code.GRANT_USED_UP):
        other.claim(unit)
    assert factory.unit(unit)["state"] == "claimed"
    assert factory.counts() == {"in_work": 1}


def test_a_claim_past_its_lease_may_move_to_another_lot(factory: Factory) -> None:
    unit, stale = new_unit(), new_unit()
    factory.bench().claim(unit)
    factory.add_lot("lot-2", count=1)
    other = factory.bench(lot="lot-2")
    other.claim(stale)
    factory.clock.advance(LEASE + INSTANT)
    assert other.claim(unit).serial == "SN-0001"
    assert factory.counts() == {}
    assert factory.counts("lot-2") == {"in_work": 1}
    assert [entry.type for entry in factory.entries()[-3:]] == ["unit.expired", "unit.expired", "unit.claimed"]
    assert factory.unit(stale)["state"] == "released"


# --- counted ---


def test_25_claims_in_a_lot_of_24(factory: Factory) -> None:
    factory.add_lot("lot-24", count=24)
    bench = factory.bench(lot="lot-24")
    for _ in range(24):
        bench.claim(new_unit())
    with factory.refuses(Code.GRANT_USED_UP):
        bench.claim(new_unit())
    assert factory.counts("lot-24") == {"in_work": 24}


def test_32_stations_at_once_get_24_places(factory: Factory) -> None:
    factory.add_lot("lot-24", count=24)
    benches = [factory.bench(f"bench-{number}", lot="lot-24") for number in range(32)]
    with ThreadPoolExecutor(32) as pool:
        results = [answer.result for answer in pool.map(lambda bench: bench.ask(bench.claiming(new_unit())), benches)]
    refused = [result for result in results if isinstance(result, Refused)]
    claimed = [result for result in results if isinstance(result, Claimed)]
    assert [result.code for result in refused] == [Code.GRANT_USED_UP] * 8
    assert len({result.serial for result in claimed}) == len({result.values["mac"] for result in claimed}) == 24
    assert factory.counts("lot-24") == {"in_work": 24}


def test_32_stations_with_one_hardware_id_get_one_place(factory: Factory) -> None:
    unit = new_unit()
    benches = [factory.bench(f"bench-{number}") for number in range(32)]
    with ThreadPoolExecutor(32) as pool:
        results = [answer.result for answer in pool.map(lambda bench: bench.ask(bench.claiming(unit)), benches)]
    assert sorted(result.kind for result in results) == ["claimed"] + ["refused"] * 31
    assert factory.counts() == {"in_work": 1}
    assert factory.unit(unit)["contested"] == 1


def test_a_retry_costs_nothing_more(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    intention = bench.claiming(unit)
    first = bench.ask_as("r", intention)
    for _ in range(GRANT + 1):
        assert encode_answer(bench.ask_as("r", intention)) == encode_answer(first)
        bench.claim(unit)
    assert factory.counts() == {"in_work": 1}


def test_a_release_gives_the_place_back_and_keeps_the_values(factory: Factory) -> None:
    factory.add_lot("lot-2", count=1)
    bench, unit = factory.bench(lot="lot-2"), new_unit()
    first = bench.claim(unit)
    with factory.refuses(Code.GRANT_USED_UP):
        bench.claim(new_unit())
    bench.release(unit)
    bench.claim(other := new_unit())
    bench.release(other)
    again = factory.bench("bench-2", lot="lot-2").claim(unit, run="second")
    assert (again.serial, again.values, again.fence) == (first.serial, first.values, 2)
    assert factory.unit(unit)["epoch"] == 1


def test_a_claim_is_for_the_newest_epoch(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.claim(unit)
    bench.release(unit)
    factory.begin_second_epoch(unit)
    bench.release(unit)
    bench.claim(unit)
    assert [(row["epoch"], row["state"]) for row in factory.rows("units")] == [(1, "released"), (2, "claimed")]


@pytest.mark.parametrize("state", ["certified", "permitted", "complete", "quarantined", "scrapped"])
def test_after_a_certificate_the_place_is_used_for_good(factory: Factory, state: str) -> None:
    factory.add_lot("lot-2", count=1)
    bench, unit = factory.bench(lot="lot-2"), new_unit()
    bench.to("certified" if state == "scrapped" else state, unit)
    if state == "scrapped":
        factory.platform.command(ScrapUnit(serial="SN-0001", reason="burnt"))
    with factory.refuses(Code.WRONG_STATE):
        bench.release(unit)
    with factory.refuses(Code.GRANT_USED_UP):
        bench.claim(new_unit())


# --- exactly once ---


def test_one_request_id_for_two_stations(factory: Factory) -> None:
    one, other = factory.bench(), factory.bench("bench-2")
    assert one.ask_as("r", one.claiming(new_unit())).result.kind == "claimed"
    assert other.ask_as("r", other.claiming(new_unit())).result.kind == "claimed"


def test_one_request_id_for_two_bodies_is_a_conflict(factory: Factory) -> None:
    bench = factory.bench()
    bench.ask_as("r", bench.claiming(new_unit()))
    result = bench.ask_as("r", bench.claiming(new_unit())).result
    assert isinstance(result, Refused)
    assert result.code == Code.REQUEST_CONFLICT
    assert factory.entries()[-1].type == "request.conflict"
    assert factory.counts() == {"in_work": 1}


def test_every_kind_of_answer_is_repeated_byte_for_byte_also_after_a_restart(factory: Factory) -> None:
    unit = new_unit()
    bench = factory.bench()
    asked = [bench.claiming(unit), bench.claiming(unit, run="other")]
    said = [encode_answer(bench.ask_as(str(number), intention)) for number, intention in enumerate(asked)]
    factory.platform.command(ClearUnit(serial="SN-0001", reason="it was a test"))
    fence = bench.claim(unit).fence
    asked.append(bench.certifying(unit, fence=fence))  # type: ignore[arg-type]
    said.append(encode_answer(answer := bench.ask_as("2", asked[-1])))
    bench.soft.load(unit, answer.result.certificate)  # type: ignore[union-attr]
    permitting = bench.permitting(unit, {"hardware-id": unit.hardware_id.hex(), "firmware": unit.statement.image.hex()})
    asked.append(replace(permitting, fence=fence))  # type: ignore[arg-type]
    said.append(encode_answer(answer := bench.ask_as("3", asked[-1])))
    asked.append(bench.completing(unit, answer.result.challenge, fence=fence))  # type: ignore[union-attr, arg-type]
    said.append(encode_answer(answer := bench.ask_as("4", asked[-1])))
    assert answer.result.kind == "completed"
    for _ in range(2):
        for number, intention in enumerate(asked):
            assert encode_answer(bench.ask_as(str(number), intention)) == said[number]
        factory.clock.advance(LEASE * 100)
        factory.reopen()
        bench = factory.bench()
