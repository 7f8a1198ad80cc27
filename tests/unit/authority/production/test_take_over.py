"""Taking over: the very unit goes on at another bench, and nothing else does."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from imprint.encoding import sha256
from imprint.formats.crl import Reason
from imprint.protocol.answers import Claimed, Refused
from imprint.protocol.codec import encode_answer
from imprint.protocol.commands import ClearUnit, CloseLot, RevokeUnit, ReworkUnit
from imprint.protocol.intentions import Action, TakeOverUnit
from imprint.protocol.refusals import Code
from imprint.testing.soft_unit import SoftUnit
from soft_factory import LEASE, LOT, Bench, Factory, new_unit

IN_WORK = pytest.mark.parametrize("state", ["certified", "permitted"])


def proof(bench: Bench, unit: SoftUnit, claim: str, challenge: bytes) -> TakeOverUnit:
    return bench.soft.taking_over(unit, claim, challenge)


# --- the very unit ---


@IN_WORK
def test_a_unit_that_proves_itself_goes_on_at_another_bench(factory: Factory, state: str) -> None:
    dead, other, unit = factory.bench(), factory.bench("bench-2"), new_unit()
    challenge = dead.to(state, unit)
    before = factory.unit(unit)
    claimed = other.take_over(unit, run="other run")
    assert (claimed.state, claimed.serial, claimed.fence) == (state, "SN-0001", 2)
    assert claimed.values == {"mac": "02:00:5e:00:00:01"}
    assert claimed.challenge != challenge
    after = factory.unit(unit)
    changed = {"station": "bench-2", "run": "other run", "fence": 2, "challenge": claimed.challenge.hex()}
    assert dict(after) == {**before, **changed}
    assert factory.counts() == {"in_work": 1}
    permitted = other.permit(unit, fence=2)
    other.complete(unit, permitted.challenge, fence=2)
    assert factory.counts() == {"shipped": 1}


@IN_WORK
def test_what_the_dead_station_still_sends_is_stale(factory: Factory, state: str) -> None:
    dead, unit = factory.bench(), new_unit()
    challenge = dead.to(state, unit)
    factory.bench("bench-2").take_over(unit)
    late: list[Callable[[], object]] = [
        lambda: dead.certify(unit),
        lambda: dead.permit(unit),
        lambda: dead.permit(unit, action=Action.FUSE_BOOT_KEY),
        lambda: dead.complete(unit, challenge),
        lambda: dead.quarantine(unit),
        lambda: dead.release(unit),
    ]
    for send in late:
        with factory.refuses(Code.STALE_FENCE):
            send()
    assert factory.unit(unit)["contested"] == 0


def test_the_same_station_takes_over_what_it_has_forgotten(factory: Factory) -> None:
    """Its journal was lost, so it comes with another run; a request of the old run is stale there, too."""
    bench, unit = factory.bench(), new_unit()
    bench.to("certified", unit)
    assert bench.take_over(unit, run="other run").fence == 2
    with factory.refuses(Code.STALE_FENCE):
        bench.permit(unit)


def test_the_first_station_takes_it_back_in_the_same_way(factory: Factory) -> None:
    one, other, unit = factory.bench(), factory.bench("bench-2"), new_unit()
    one.to("certified", unit)
    other.take_over(unit, run="other run")
    assert one.take_over(unit).fence == 3
    with factory.refuses(Code.STALE_FENCE):
        other.permit(unit, fence=2)
    one.complete(unit, one.permit(unit, fence=3).challenge, fence=3)


def test_the_certificate_is_repeated_and_not_made_again(factory: Factory) -> None:
    dead, other, unit = factory.bench(), factory.bench("bench-2"), new_unit()
    dead.to("certified", unit)
    other.take_over(unit)
    other.certify(unit, fence=2)
    assert len(factory.rows("certificates")) == 1
    with factory.refuses(Code.WRONG_KEY):
        other.must(other.certifying(new_unit(hardware_id=unit.hardware_id), fence=2))


def test_a_reworked_unit_is_known_by_the_key_of_its_epoch(factory: Factory) -> None:
    one, other, unit = factory.bench(), factory.bench("bench-2"), new_unit()
    one.imprint(unit)
    factory.platform.command(ReworkUnit(serial="SN-0001", reason="antenna"))
    fence = one.claim(unit, run="again").fence
    old_key, unit.key = unit.key, new_unit().key
    one.certify(unit, fence)
    claim, challenge = other.challenge(unit)
    assert isinstance(other.ask(proof(other, unit, claim, challenge)).result, Claimed)
    claim, challenge = one.challenge(unit)
    with factory.refuses(Code.ALREADY_CLAIMED):
        one.must(proof(one, SoftUnit(hardware_id=unit.hardware_id, key=old_key), claim, challenge))


def test_the_same_proof_again_gets_the_same_answer(factory: Factory) -> None:
    other, unit = factory.bench("bench-2"), new_unit()
    factory.bench().to("certified", unit)
    intention = proof(other, unit, *other.challenge(unit))
    first = encode_answer(other.ask_as("r", intention))
    other.permit(unit, fence=2)
    assert encode_answer(other.ask_as("r", intention)) == first


def test_the_ledger_holds_the_proof(factory: Factory) -> None:
    other, unit = factory.bench("bench-2"), new_unit()
    factory.bench().to("certified", unit)
    intention = proof(other, unit, *other.challenge(unit))
    other.must(intention)
    asked, taken = factory.entries()[-2:]
    assert (asked.type, taken.type) == ("unit.challenged", "unit.taken-over")
    assert taken.private["challenged_leaf"] == asked.leaf
    assert bytes.fromhex(taken.private["statement"]) == intention.statement
    assert bytes.fromhex(taken.private["signature"]) == intention.signature


# --- who only asks ---


@IN_WORK
def test_who_only_asks_gains_nothing_and_harms_nobody(factory: Factory, state: str) -> None:
    holder, squatter, unit = factory.bench(), factory.bench("bench-2"), new_unit()
    challenge = holder.to(state, unit)
    before = factory.unit(unit)
    assert len({squatter.challenge(unit, run=f"run {number}")[1] for number in range(5)}) == 5
    assert factory.unit(unit) == before
    with factory.refuses(Code.STALE_FENCE):
        squatter.permit(unit)
    if state == "certified":
        challenge = holder.permit(unit).challenge
    holder.complete(unit, challenge)
    assert factory.counts() == {"shipped": 1}


def test_the_asker_learns_nothing_of_the_unit(factory: Factory) -> None:
    factory.bench().to("certified", unit := new_unit())
    answer = encode_answer(factory.bench("bench-2").ask(factory.bench("bench-2").claiming(unit)))
    assert not [known for known in (b"SN-0001", b"02:00:5e", LOT.encode(), b"bench-1") if known in answer]


# --- what is no proof ---


@IN_WORK
def test_a_clone_is_refused_and_the_unit_contested(factory: Factory, state: str) -> None:
    factory.bench().to(state, unit := new_unit())
    other, clone = factory.bench("bench-2"), new_unit(hardware_id=unit.hardware_id)
    intention = proof(other, clone, *other.challenge(unit))
    with factory.refuses(Code.ALREADY_CLAIMED):
        other.must(intention)
    row = factory.unit(unit)
    assert (row["contested"], row["state"], row["fence"], row["station"]) == (1, state, 1, "bench-1")
    entry = factory.entries()[-1]
    assert entry.private["contested"] == {"hardware_id": unit.hardware_id.hex(), "epoch": 1, "lot": LOT}
    assert "SN-0001" not in entry.private["message"]
    assert factory.row("lots", lot=LOT)["last_leaf"] == entry.leaf


def test_a_board_that_signs_nothing_is_a_clone(factory: Factory) -> None:
    factory.bench().to("certified", unit := new_unit())
    other = factory.bench("bench-2")
    intention = replace(proof(other, unit, *other.challenge(unit)), statement=b"", signature=b"")
    with factory.refuses(Code.ALREADY_CLAIMED):
        other.must(intention)
    assert factory.unit(unit)["contested"] == 1


def test_a_board_with_the_key_and_another_hardware_id_is_a_clone(factory: Factory) -> None:
    factory.bench().to("certified", unit := new_unit())
    other, clone = factory.bench("bench-2"), SoftUnit(hardware_id=b"another board", key=unit.key)
    claim, challenge = other.challenge(unit)
    intention = replace(proof(other, clone, claim, challenge), hardware_id=unit.hardware_id.hex())
    with factory.refuses(Code.ALREADY_CLAIMED):
        other.must(intention)
    assert factory.unit(unit)["contested"] == 1


def test_a_changed_statement_is_not_the_units(factory: Factory) -> None:
    factory.bench().to("certified", unit := new_unit())
    other = factory.bench("bench-2")
    honest = proof(other, unit, *other.challenge(unit))
    with factory.refuses(Code.ALREADY_CLAIMED):
        other.must(replace(honest, statement=replace(unit.statement, debug=0).encode()))


@pytest.mark.parametrize("meanwhile", ["permitted", "complete", "quarantined", "revoked"])
def test_a_clone_is_found_out_however_far_the_unit_has_come(factory: Factory, meanwhile: str) -> None:
    """But for units that wait for an officer already, and dead identities: as when they are claimed."""
    holder, other, unit = factory.bench(), factory.bench("bench-2"), new_unit()
    holder.to("certified", unit)
    intention = proof(other, new_unit(hardware_id=unit.hardware_id), *other.challenge(unit))
    challenge = holder.permit(unit).challenge
    if meanwhile == "complete":
        holder.complete(unit, challenge)
    if meanwhile == "quarantined":
        holder.quarantine(unit)
    if meanwhile == "revoked":
        factory.platform.command(RevokeUnit(serial="SN-0001", reason=Reason.KEY_COMPROMISE, note="read out"))
    found = {"permitted": Code.ALREADY_CLAIMED, "complete": Code.ALREADY_COMPLETE}.get(meanwhile, Code.STALE_FENCE)
    with factory.refuses(found):
        other.must(intention)
    assert factory.unit(unit)["contested"] == (found is not Code.STALE_FENCE)


def test_a_challenge_of_an_earlier_epoch_is_void(factory: Factory) -> None:
    holder, other, unit = factory.bench(), factory.bench("bench-2"), new_unit()
    holder.to("certified", unit)
    clone = new_unit(hardware_id=unit.hardware_id)
    claim, challenge = other.challenge(unit)
    holder.complete(unit, holder.permit(unit).challenge)
    factory.platform.command(ReworkUnit(serial="SN-0001", reason="antenna"))
    late = [proof(other, board, claim, challenge) for board in (unit, clone)]
    for intention in late:
        with factory.refuses(Code.STALE_FENCE):
            other.must(intention)
    fence = holder.claim(unit, run="again").fence
    unit.key = new_unit().key
    holder.certify(unit, fence)
    for intention in late:  # no clone: the key was the right one then
        with factory.refuses(Code.STALE_FENCE):
            other.must(intention)
    assert factory.unit(unit)["contested"] == 0


def test_a_signed_statement_that_does_not_parse_is_refused_without_a_mark(factory: Factory) -> None:
    factory.bench().to("certified", unit := new_unit())
    other = factory.bench("bench-2")
    claim, challenge = other.challenge(unit)
    unit.statement = replace(unit.statement, v=2)
    with factory.refuses(Code.BAD_REQUEST):
        other.must(proof(other, unit, claim, challenge))
    assert factory.unit(unit)["contested"] == 0


def test_what_the_unit_has_signed_for_another_challenge_is_no_proof(factory: Factory) -> None:
    """Neither its answer to the challenge of its first station, nor to an earlier one of the second, nor to anybody's:
    and since it is the unit's own word, nobody is a clone."""
    holder, other, unit = factory.bench(), factory.bench("bench-2"), new_unit()
    last = holder.to("permitted", unit)
    _, earlier = other.challenge(unit)
    claim, _ = other.challenge(unit)
    for challenge in (last, earlier, sha256(claim.encode()), bytes(32)):
        with factory.refuses(Code.EVIDENCE_CONTRADICTS):
            other.must(proof(other, unit, claim, challenge))
    assert factory.unit(unit)["contested"] == 0
    holder.complete(unit, last)


@IN_WORK
def test_a_proof_is_no_evidence_of_completion(factory: Factory, state: str) -> None:
    holder, other, unit = factory.bench(), factory.bench("bench-2"), new_unit()
    holder.to(state, unit)
    claim, challenge = other.challenge(unit)
    if state == "permitted":
        with factory.refuses(Code.EVIDENCE_CONTRADICTS):
            holder.complete(unit, challenge)
    other.must(proof(other, unit, claim, challenge))
    other.permit(unit, fence=2)
    with factory.refuses(Code.EVIDENCE_CONTRADICTS):
        other.complete(unit, challenge, fence=2)


# --- which challenge ---


@pytest.mark.parametrize("happens", ["taken over", "permitted", "fused", "certificate repeated", "claimed again"])
def test_a_challenge_is_void_once_anything_has_happened_to_the_unit(factory: Factory, happens: str) -> None:
    holder, other, unit = factory.bench(), factory.bench("bench-2"), new_unit()
    holder.to("certified", unit)
    intention = proof(other, unit, *other.challenge(unit))
    happen: dict[str, Callable[[], object]] = {
        "taken over": lambda: other.must(intention),
        "permitted": lambda: holder.permit(unit),
        "fused": lambda: holder.permit(unit, action=Action.FUSE_BOOT_KEY),
        "certificate repeated": lambda: holder.certify(unit),
        "claimed again": lambda: holder.claim(unit),
    }
    happen[happens]()
    before = factory.unit(unit)
    with factory.refuses(Code.STALE_FENCE):
        other.must(intention)
    assert factory.unit(unit) == before


def test_a_challenge_is_void_for_a_unit_that_is_not_to_go_on(factory: Factory) -> None:
    """Contested, in quarantine, cleared, complete or revoked: each is as it is without a challenge."""
    factory.add_lot("lot-2", count=5)
    holder = factory.bench(lot="lot-2")
    other = factory.bench("bench-2", lot="lot-2")
    units = [new_unit() for _ in range(5)]
    challenges = [holder.to("permitted", unit) for unit in units]
    proofs = [proof(other, unit, *other.challenge(unit)) for unit in units]
    contested, quarantined, cleared, complete, revoked = units
    factory.bench("bench-3", lot="lot-2").clone(contested)
    holder.quarantine(quarantined)
    factory.platform.command(ClearUnit(serial=factory.unit(cleared)["serial"], reason="looked at"))
    holder.complete(complete, challenges[3])
    serial = factory.unit(revoked)["serial"]
    factory.platform.command(RevokeUnit(serial=serial, reason=Reason.KEY_COMPROMISE, note="read out"))
    before = [factory.unit(unit) for unit in units]
    for intention in proofs:
        with factory.refuses(Code.STALE_FENCE):
            other.must(intention)
    assert [factory.unit(unit) for unit in units] == before


def test_a_challenge_belongs_to_its_station_and_its_unit(factory: Factory) -> None:
    holder, other, third = factory.bench(), factory.bench("bench-2"), factory.bench("bench-3")
    unit, neighbour = new_unit(), new_unit()
    holder.to("certified", unit)
    holder.to("certified", neighbour)
    claim, challenge = other.challenge(unit)
    stolen = proof(third, unit, claim, challenge)
    of_neighbour = proof(other, neighbour, claim, challenge)
    unknown = replace(proof(other, unit, claim, challenge), claim="no such request")
    answer = other.ask_as("a claim", other.claiming(new_unit()))
    assert isinstance(answer.result, Claimed)
    no_challenge = replace(proof(other, unit, claim, challenge), claim="a claim")
    nobody = replace(of_neighbour, hardware_id="00" * 8)
    not_a_clone = proof(other, new_unit(hardware_id=neighbour.hardware_id), claim, challenge)
    asked_by_other = (of_neighbour, unknown, no_challenge, nobody, not_a_clone)
    for bench, intention in [(third, stolen), *((other, one) for one in asked_by_other)]:
        with factory.refuses(Code.STALE_FENCE):
            bench.must(intention)
    assert [factory.unit(one)["contested"] for one in (unit, neighbour)] == [0, 0]
    other.must(proof(other, unit, claim, challenge))


def test_a_claim_that_gave_a_place_has_given_no_challenge(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.ask_as("place", bench.claiming(unit))
    challenge = bench.certify(unit).challenge
    with factory.refuses(Code.STALE_FENCE):
        bench.must(proof(bench, unit, "place", challenge))


def test_a_revoked_unit_gets_no_challenge(factory: Factory) -> None:
    factory.bench().to("certified", unit := new_unit())
    factory.platform.command(RevokeUnit(serial="SN-0001", reason=Reason.KEY_COMPROMISE, note="read out"))
    with factory.refuses(Code.ALREADY_CLAIMED):
        factory.bench("bench-2").claim(unit)


def test_a_unit_is_not_taken_over_into_another_lot(factory: Factory) -> None:
    factory.bench().to("certified", unit := new_unit())
    factory.add_lot("lot-2")
    other = factory.bench("bench-2", lot="lot-2")
    intention = proof(other, unit, *other.challenge(unit))
    before = factory.unit(unit)
    with factory.refuses(Code.NOT_CLAIMED):
        other.must(intention)
    assert factory.unit(unit) == before
    assert factory.counts("lot-2") == {}


def test_a_clone_in_another_lot_marks_the_unit(factory: Factory) -> None:
    factory.bench().to("certified", unit := new_unit())
    factory.add_lot("lot-2")
    factory.bench("bench-2", lot="lot-2").clone(unit)
    assert factory.unit(unit)["contested"] == 1


def test_no_take_over_in_a_lot_that_is_unknown_or_closed(factory: Factory) -> None:
    other, unit = factory.bench(), new_unit()
    intention = proof(other, unit, "claim", bytes(32))
    with factory.refuses(Code.UNKNOWN_LOT):
        other.must(replace(intention, lot="lot-x"))
    factory.platform.command(CloseLot(lot=LOT))
    with factory.refuses(Code.LOT_CLOSED):
        other.must(intention)


def test_a_claim_that_is_not_certified_is_not_taken_over(factory: Factory) -> None:
    """There is no key yet by which the unit could be known: a lease, as before."""
    unit = new_unit()
    factory.bench().claim(unit)
    answer = factory.bench("bench-2").ask(factory.bench("bench-2").claiming(unit))
    assert isinstance(answer.result, Refused)
    factory.clock.advance(LEASE * 2)
    assert factory.unit(unit)["contested"] == 1
