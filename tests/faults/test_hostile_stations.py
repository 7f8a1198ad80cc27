"""Hostile stations, one at a time and all at once: each is refused, named in the ledger, and gets nothing beyond the
grant; what it gets away with is graded as its own word. ``IMPRINT_SEED`` repeats the order of things."""

import asyncio
import base64
import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from imprint.authority.production import evidence
from imprint.protocol.answers import Answer, Completed, Refused
from imprint.protocol.codec import decode_intention
from imprint.protocol.commands import ClearUnit
from imprint.protocol.intentions import Intention
from imprint.protocol.refusals import Code
from imprint.station.run_event import Status
from imprint.testing.hostile import FLOOD, TRICKS, Kit, go_on_too_late
from imprint.testing.soft_station import RefusedHere, SoftStation
from imprint.testing.soft_unit import SoftUnit
from imprint.testing.wire import Weather
from production_line import LONG, seed_of_today
from rules_check import Heard, broken_rules
from soft_factory import LEASE, OTHER_LOT, OTHER_PRODUCT, Factory, new_unit
from wired_line import LEASE_S, LOT, Tap, WiredLine, WiredStation, soft_units, virtual_loop, wired_line

HOSTILE = "mallory"
PLACES = 6
SCANNED = OTHER_PRODUCT.replace(b'{made: "TOY-", width: 4}', b'{scanned: "L-[0-9a-f]{8}"}')
STARVING = {"over the grant", "drained pools"}  # the lot is theirs: a station is not bound to a lot in this version
WANTED = 4  # units of the honest station
CERTIFIED = 6  # boards that the hostile stations below can take to a certificate
BOARDS = 14  # more than there are places for
# Who comes for another's unit before it is certified marks it, and only an officer ends that.
AT_ONCE = [name for name in TRICKS if name not in ("swapped labels", "units of others", "clones")]
NEVER = 1_000_000_000  # a wire on which messages overtake each other, and nothing is lost
ROUNDS = 200 if LONG else 8


class Yard:
    """A factory's lot, and stations of which all that they ask is heard."""

    def __init__(self, factory: Factory, more: bytes = b"", yaml: bytes = OTHER_PRODUCT) -> None:
        self.factory = factory
        self.heard: list[Heard] = []
        factory.add_product(yaml + more)
        factory.add_release(product="toy")
        factory.add_lot(OTHER_LOT, product="toy", count=PLACES)

    async def station(self, name: str) -> SoftStation:
        port = Tap(name, self.factory.platform.station(name), self.heard)
        return SoftStation(port, await port.lot(OTHER_LOT), prefix=name)

    def certificates(self) -> int:
        return len(self.factory.rows("certificates"))

    def named(self, actor: str) -> Counter[str]:
        """What the ledger says that this station was refused, by code."""
        entries = [entry for entry in self.factory.entries() if entry.actor == actor]
        refused = Counter(entry.private["code"] for entry in entries if entry.type == "request.refused")
        refused[Code.REQUEST_CONFLICT] = sum(entry.type == "request.conflict" for entry in entries)
        return +refused


def codes(answers: Sequence[Answer]) -> Counter[str]:
    return Counter(answer.result.code for answer in answers if isinstance(answer.result, Refused))


def overheard(heard: Sequence[Heard], of: str) -> list[tuple[str, Intention]]:
    """All that a station has asked but for its claims."""
    asked = [(one.request, decode_intention(one.body)) for one in heard if one.actor == of]
    return [(request, intention) for request, intention in asked if intention.kind != "claim"]


@pytest.mark.parametrize("name", sorted(TRICKS))
def test_each_is_refused_and_named_and_gets_nothing_beyond_the_grant(factory: Factory, name: str) -> None:
    yard, scanned = Yard(factory, yaml=SCANNED if name == "swapped labels" else OTHER_PRODUCT), name == "swapped labels"
    first, second = new_unit(), new_unit()

    async def play() -> tuple[list[Answer], bool]:
        honest, hostile = await yard.station("bench-1"), await yard.station(HOSTILE)
        claimed = await honest.claim(first, serial="L-00000001" if scanned else None)
        certified = await honest.certify(first, claimed.fence)
        kit = Kit(name=name, boards=PLACES + 2, overheard=overheard(yard.heard, "bench-1"))
        answers = await TRICKS[name].play(hostile, kit)
        assert broken_rules(factory.folder, yard.heard) == []
        honest.load(first, certified.certificate)
        assert factory.unit(first)["contested"] == (name == "clones"), "nothing else puts it under suspicion"
        fence = claimed.fence
        if name == "clones":
            await asyncio.to_thread(factory.platform.command, ClearUnit(serial=claimed.serial, reason="it has the key"))
            fence = (await honest.claim(first)).fence
        permitted = await honest.permit(first, fence)
        await honest.complete(first, fence, permitted.challenge)
        factory.clock.advance(LEASE + timedelta(seconds=1))
        try:
            await honest.imprint(second, run="second", serial="L-00000002" if scanned else None)
        except RefusedHere:
            return answers, False
        if name == "squatted places":
            late = codes(await go_on_too_late(hostile, kit))
            assert late == {Code.WRONG_STATE: 1, Code.NOT_CLAIMED: 3}, "the place that was needed went to another"
        return answers, True

    answers, finished = asyncio.run(play())
    assert broken_rules(factory.folder, yard.heard) == []
    told = codes(answers)
    assert set(told) == set(TRICKS[name].refused)
    assert yard.named(HOSTILE) >= told, "each refusal is an entry with its name"
    assert finished == (name not in STARVING)
    assert yard.certificates() <= PLACES
    if name == "over the grant":
        assert yard.certificates() == PLACES
    if name.startswith("a flood"):
        assert told.total() == FLOOD - 1


def evidence_of(answer: Answer) -> list[dict[str, Any]]:
    assert isinstance(answer.result, Completed)
    payload = json.loads(base64.b64decode(json.loads(answer.result.record)["payload"]))
    found: list[dict[str, Any]] = payload["predicate"]["evidence"]
    return found


def forge(yard: Yard) -> Answer:
    async def play() -> list[Answer]:
        return await TRICKS["forged read-backs"].play(await yard.station(HOSTILE), Kit(name="x", boards=1))

    (answer,) = asyncio.run(play())
    return answer


def test_a_forged_read_back_is_the_word_of_its_station(factory: Factory) -> None:
    forged = {(one["claim"], one["grade"]) for one in evidence_of(forge(Yard(factory))) if one["source"] == HOSTILE}
    assert forged == {("debug", "station-observed"), ("self-test", "station-observed")}


@pytest.mark.parametrize(("claim", "least"), [("debug", "attested"), ("self-test", "unit-signed")])
def test_a_forged_read_back_is_refused_where_the_product_wants_more(factory: Factory, claim: str, least: str) -> None:
    yard = Yard(factory, more=f"evidence: {{{claim}: {least}}}\n".encode())
    assert set(codes([forge(yard)])) == {Code.EVIDENCE_TOO_WEAK}
    assert yard.named(HOSTILE) == {Code.EVIDENCE_TOO_WEAK: 1}


def test_an_authority_that_believes_a_station_is_found_out(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: a grade is what the station says it is."""
    monkeypatch.setattr(evidence, "_capped", lambda grade: grade)
    yard = Yard(factory)
    forge(yard)
    wrong = broken_rules(factory.folder, yard.heard)
    print(*wrong, sep="\n")
    assert any("debug is attested on the word of mallory" in one for one in wrong)


# --- all at once ---


LOTS = {"over the grant": "lot-o", "drained pools": "lot-d"}  # theirs to use up


async def attack(line: WiredLine, name: str, weather: Weather, begins_s: float) -> Counter[str]:
    """One trick beside all others, with what was overheard so far; how it was refused."""
    station = await line.soft_station(name, weather, lot=LOTS.get(name, LOT))
    await asyncio.sleep(begins_s)
    kit = Kit(name=name, boards=BOARDS, overheard=overheard(line.heard, "honest")[:2])
    try:
        return codes(await TRICKS[name].play(station, kit))
    except RefusedHere as refused:  # not a place was left for it
        return Counter({refused.code: 1})


async def persist(station: WiredStation, unit: SoftUnit) -> None:
    """Try again when the leases of others are over, as often as it takes."""
    for _ in range(10):
        if await station.work(unit) is Status.COMPLETE:
            return
        await asyncio.sleep(LEASE_S + 60)
    raise AssertionError(f"{unit.hardware_id.hex()} was never finished")


async def all_at_once(line: WiredLine, seed: int) -> Counter[str]:
    """An honest station at its lot, and everybody else; how they were refused."""
    chance, weather = random.Random(seed), Weather(seed, calm=NEVER)
    for lot in LOTS.values():
        line.add_lot(lot, count=PLACES)
    honest = await line.station("honest", weather)
    attacks = [attack(line, name, weather, chance.uniform(1, 90)) for name in AT_ONCE]
    work = [persist(honest, unit) for unit in soft_units(WANTED)]
    refused, _ = await asyncio.gather(asyncio.gather(*attacks), asyncio.gather(*work))
    return sum(refused, Counter())


def test_an_honest_station_finishes_its_lot_beside_all_of_them(factory_template: Path, tmp_path: Path) -> None:
    first = seed_of_today()
    print(f"seeds from {first}")
    met: Counter[str] = Counter()
    for seed in range(first, first + ROUNDS):
        folder = tmp_path / str(seed)
        with virtual_loop() as loop, wired_line(factory_template, folder, loop, count=WANTED + CERTIFIED) as line:
            met += loop.run(all_at_once(line, seed))
            assert line.wrong() == [], f"IMPRINT_SEED={seed}"
            with line.platform.reader.store.reading() as store:
                certified = Counter(row["lot"] for row in store.find("units") if row["certificate"] is not None)
                shipped = store.find("units", state="complete", station="honest")
        assert len(shipped) == WANTED
        assert certified[LOT] <= WANTED + CERTIFIED
        assert max(certified[lot] for lot in LOTS.values()) <= PLACES
        shutil.rmtree(folder)
    print(f"{ROUNDS} rounds, refused: { {str(code): number for code, number in met.items()} }")
    assert set(met) >= {Code.GRANT_USED_UP, Code.NOT_CLAIMED, Code.REQUEST_CONFLICT, Code.ALLOTTED_OUT}
