"""Stations that do as they like, an owner in between, and a clock that jumps: whatever they do and in whatever order,
the counts are those of the units, no lot gives more than its grant, and the ledger tells the whole story.

A model in a few lines foresees what is granted and what is refused, so that the authority can neither allow too much
nor refuse too much without being caught.
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from imprint.authority.production.commands import CloseLotUnder, Prepared
from imprint.errors import RefusedError
from imprint.formats.crl import Reason
from imprint.formats.mcuboot import parse
from imprint.protocol.answers import Answer, Certified, Challenged, Claimed, Permitted, Refused
from imprint.protocol.codec import encode_answer
from imprint.protocol.commands import ClearUnit, Command, ExpireClaims, RefundUnits, RevokeUnit, ReworkUnit, ScrapUnit
from imprint.protocol.intentions import Intention, QuarantineUnit, ReleaseUnit
from imprint.protocol.refusals import Code
from imprint.testing.soft_unit import SoftUnit
from soft_factory import GRANT, LEASE, LOT, REFUNDS, Bench, Factory, SetClock, new_unit, open_factory

UNITS = 5
STATIONS = ("bench-1", "bench-2")
REPLAY_EVERY = 5
MOMENT = timedelta(milliseconds=1)
IN_WORK = ("claimed", "rework", "certified", "permitted")
LIVE = (*IN_WORK, "complete", "quarantined")


@dataclass
class Model:
    """What is known of a unit without looking."""

    state: str = "new"
    held_by: tuple[str, str] = ("", "")
    fence: int = 0
    lease_until: timedelta = timedelta()
    contested: bool = False
    certified_key: bytes = b""
    revoked: bool = False
    epoch: int = 1
    compromised: set[bytes] = field(default_factory=set)

    @property
    def has_certificate(self) -> bool:
        return bool(self.certified_key)


@dataclass(frozen=True)
class Given:
    """A challenge: to whom, for which unit, and where that was then."""

    station: str
    run: str
    number: int
    epoch: int
    fence: int
    last: str
    challenge: bytes


units = st.integers(0, UNITS - 1)
stations = st.sampled_from(STATIONS)
fences = st.sampled_from([0, 0, 0, 0, 0, -1, 1])  # off by so much: mostly right


class Line(RuleBasedStateMachine):
    """The authority against the model."""

    template: Path

    @initialize()
    def start(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        shutil.copytree(self.template, self.home / "workspace")
        self.now = timedelta()
        self.factory: Factory = open_factory(self.home / "workspace", SetClock())
        self.benches: dict[str, Bench] = {name: self.factory.bench(name) for name in STATIONS}
        self.units = [new_unit(hardware_id=bytes([number] * 8)) for number in range(UNITS)]
        self.models = [Model() for _ in range(UNITS)]
        self.key_owners: dict[bytes, int] = {}
        self.given: dict[str, Given] = {}
        self.answered: list[tuple[str, str, Intention, bytes]] = []
        self.steps = 0
        self.closed = False
        self.refunded = 0
        self.dead: set[str] = set()  # numbers of revoked certificates

    def teardown(self) -> None:
        if hasattr(self, "factory"):
            self.factory.check()
            self.factory.stop()
            shutil.rmtree(self.home)

    # --- what the model foresees ---

    def used(self) -> int:
        return sum(model.state in (*LIVE, "scrapped") for model in self.models)

    def stale(self) -> list[int]:
        late = [n for n, model in enumerate(self.models) if model.state == "claimed" and model.lease_until < self.now]
        return sorted(late, key=lambda n: self.models[n].lease_until)

    def expire(self, number: int) -> None:
        self.models[number].state = "released"

    def held(self, number: int, station: str, off: int, *, giving_up: bool = False) -> str | None:
        """The refusal that comes before any other, or None."""
        model = self.models[number]
        if self.closed:
            return Code.LOT_CLOSED
        if model.state == "new":
            return Code.NOT_CLAIMED
        if off or model.held_by[0] != station:
            return Code.STALE_FENCE
        if model.contested and not giving_up:
            return Code.CONTESTED
        return None

    def ask(self, station: str, intention: Intention, foreseen: str | None) -> Answer:
        """Ask, and see that the answer is the one that was foreseen: a refusal's code, or None."""
        self.pass_time(MOMENT)  # no two leases end at once
        bench, number = self.benches[station], len(self.answered)
        answer = bench.ask_as(f"q{number}", intention)
        self.answered.append((station, f"q{number}", intention, encode_answer(answer)))
        told = answer.result.code if isinstance(answer.result, Refused) else None
        assert told == foreseen, (answer.result, foreseen)
        return answer

    # --- what stations do ---

    @rule(number=units, station=stations, run=st.sampled_from(["run-1", "run-2"]))
    def claim(self, number: int, station: str, run: str) -> None:
        model = self.models[number]
        goes_on = model.state in IN_WORK and not model.contested and model.held_by in ((station, run), ("", ""))
        lease_over = model.state == "claimed" and not model.contested and model.lease_until < self.now
        provable = model.state in ("certified", "permitted") and not model.contested and not model.revoked
        foreseen: str | None = None
        if self.closed:
            foreseen = Code.LOT_CLOSED
        elif not goes_on and provable:
            pass
        elif model.state == "complete" and model.revoked:
            foreseen = Code.REVOKED
        elif model.state in (*IN_WORK, "complete") and not goes_on and not lease_over:
            foreseen = Code.ALREADY_COMPLETE if model.state == "complete" else Code.ALREADY_CLAIMED
            model.contested = True
        elif not goes_on and model.contested:
            foreseen = Code.CONTESTED
        elif model.state in ("quarantined", "scrapped"):
            foreseen = Code.WRONG_STATE
        elif not goes_on and not lease_over and self.used() == GRANT + self.refunded:
            if self.stale():
                self.expire(self.stale()[0])
            else:
                foreseen = Code.GRANT_USED_UP
        intention = self.benches[station].claiming(self.units[number], run)
        answer = self.ask(station, intention, foreseen)
        assert isinstance(answer.result, Challenged) == (not goes_on and provable and not self.closed)
        if isinstance(answer.result, Challenged):
            last = self.factory.unit(self.units[number])["challenge"]
            given = Given(station, run, number, model.epoch, model.fence, last, answer.result.challenge)
            self.given[f"q{len(self.answered) - 1}"] = given
        if isinstance(answer.result, Claimed):
            if not goes_on:
                model.state, model.lease_until = "claimed", self.now + LEASE
            model.held_by, model.fence = (station, run), model.fence + 1
            assert (answer.result.state, answer.result.fence) == (model.state, model.fence)

    @precondition(lambda self: self.given)
    @rule(data=st.data(), clone=st.booleans())
    def take_over(self, data: st.DataObject, clone: bool) -> None:
        claim = data.draw(st.sampled_from(list(self.given)))
        given = self.given[claim]
        model, unit = self.models[given.number], self.units[given.number]
        live = model.state in ("certified", "permitted", "complete") and not model.revoked
        now = (model.epoch, model.fence, self.factory.unit(unit)["challenge"])
        foreseen: str | None = None
        if self.closed:
            foreseen = Code.LOT_CLOSED
        elif model.epoch == given.epoch and live and clone:
            foreseen = Code.ALREADY_COMPLETE if model.state == "complete" else Code.ALREADY_CLAIMED
            model.contested = True
        elif now != (given.epoch, given.fence, given.last) or not live or model.contested or model.state == "complete":
            foreseen = Code.STALE_FENCE
        board = new_unit(hardware_id=unit.hardware_id) if clone else unit
        intention = self.benches[given.station].soft.taking_over(board, claim, given.challenge)
        answer = self.ask(given.station, intention, foreseen)
        if isinstance(answer.result, Claimed):
            model.held_by, model.fence = (given.station, given.run), model.fence + 1
            assert (answer.result.state, answer.result.fence) == (model.state, model.fence)

    @rule(number=units, station=stations, off=fences, key_of=units)
    def certify(self, number: int, station: str, off: int, key_of: int) -> None:
        """Mostly its own key; at times that of another unit."""
        model, unit = self.models[number], self.units[number]
        foreseen = self.held(number, station, off)
        key = SoftUnit(hardware_id=unit.hardware_id, key=self.units[key_of].key)
        if foreseen is None and model.state not in IN_WORK:
            foreseen = Code.WRONG_STATE
        elif foreseen is None and model.revoked:
            foreseen = Code.REVOKED
        elif foreseen is None and model.has_certificate and model.certified_key != key.spki():
            foreseen = Code.WRONG_KEY
        elif foreseen is None and not model.has_certificate and self.key_owners.get(key.spki(), number) != number:
            foreseen = Code.KEY_TAKEN
            self.models[self.key_owners[key.spki()]].contested = True
        elif foreseen is None and not model.has_certificate and key.spki() in model.compromised:
            foreseen = Code.KEY_COMPROMISED
        bench = self.benches[station]
        answer = self.ask(station, bench.certifying(key, fence=max(0, model.fence + off)), foreseen)
        if isinstance(answer.result, Certified):
            model.certified_key = key.spki()
            model.state = "certified" if model.state in ("claimed", "rework") else model.state
            self.key_owners.setdefault(key.spki(), number)
            assert self.key_owners[key.spki()] == number
            unit.key = key.key
            bench.soft.load(unit, answer.result.certificate)

    @rule(number=units, station=stations, off=fences)
    def lock(self, number: int, station: str, off: int) -> None:
        model, unit, bench = self.models[number], self.units[number], self.benches[station]
        foreseen = self.held(number, station, off)
        if foreseen is None and model.state not in ("certified", "permitted"):
            foreseen = Code.WRONG_STATE
        elif foreseen is None and model.revoked:
            foreseen = Code.REVOKED
        image_hash = parse(bench.soft.package.firmware).image_hash.hex()
        seen = {"hardware-id": unit.hardware_id.hex(), "firmware": image_hash}
        answer = self.ask(station, bench.permitting(unit, seen, fence=max(0, model.fence + off)), foreseen)
        if isinstance(answer.result, Permitted):
            model.state = "permitted"

    @rule(number=units, station=stations, off=fences, honest=st.booleans())
    def complete(self, number: int, station: str, off: int, honest: bool) -> None:
        model, unit, bench = self.models[number], self.units[number], self.benches[station]
        foreseen = self.held(number, station, off)
        if foreseen is None and model.state != "permitted":
            foreseen = Code.WRONG_STATE
        elif foreseen is None and model.revoked:
            foreseen = Code.REVOKED
        elif foreseen is None and not honest:
            foreseen = Code.EVIDENCE_CONTRADICTS
        challenge = bytes(32)
        if honest and model.state != "new":
            challenge = bytes.fromhex(self.factory.unit(unit)["challenge"])
        self.ask(station, bench.completing(unit, challenge, fence=max(0, model.fence + off)), foreseen)
        if foreseen is None:
            model.state = "complete"

    @rule(number=units, station=stations, off=fences, quarantine=st.booleans())
    def give_up(self, number: int, station: str, off: int, quarantine: bool) -> None:
        model = self.models[number]
        foreseen = self.held(number, station, off, giving_up=True)
        if foreseen is None and model.state not in (IN_WORK if quarantine else ("claimed", "rework")):
            foreseen = Code.WRONG_STATE
        kind = QuarantineUnit if quarantine else ReleaseUnit
        hardware_id, fence = self.units[number].hardware_id.hex(), max(0, model.fence + off)
        self.ask(station, kind(lot=LOT, hardware_id=hardware_id, fence=fence, reason="?"), foreseen)
        if foreseen is None and not quarantine and model.state == "rework":
            model.held_by = ("", "")
        elif foreseen is None:
            model.state = "quarantined" if quarantine else "released"

    @rule(number=units, station=stations)
    def run(self, number: int, station: str) -> None:
        """An honest run, so that the later parts of a unit's life are reached often."""
        if self.models[number].state not in ("new", "released", "rework"):
            return
        self.claim(number, station, "run-3")
        if self.models[number].held_by == (station, "run-3"):
            self.certify(number, station, 0, number)
            self.lock(number, station, 0)
            self.complete(number, station, 0, honest=True)

    @precondition(lambda self: self.answered)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """An earlier question, word for word: the same bytes, however much has happened since, and no entry."""
        station, request_id, intention, said = data.draw(st.sampled_from(self.answered))
        size = self.factory.size()
        assert encode_answer(self.benches[station].ask_as(request_id, intention)) == said
        assert self.factory.size() == size

    # --- what owners, time and power do ---

    @rule(number=units, scrap=st.booleans())
    def look_at(self, number: int, scrap: bool) -> None:
        model = self.models[number]
        if model.state == "new":
            return
        gives_back = model.state in ("claimed", "quarantined") and not model.has_certificate
        given_back = "rework" if model.state == "quarantined" and model.epoch > 1 else "released"
        after = "scrapped" if scrap else given_back if gives_back else model.state
        if not scrap and model.state == "quarantined" and not gives_back:
            after = "certified"
        possible = ("rework", "certified", "permitted", "quarantined", "complete") if scrap else (*LIVE, "released")
        foreseen = None
        if scrap and self.closed:
            foreseen = Code.LOT_CLOSED
        elif model.state not in possible:
            foreseen = Code.WRONG_STATE
        elif self.closed and after != model.state:
            foreseen = Code.LOT_CLOSED
        serial = self.factory.unit(self.units[number])["serial"]
        command = ScrapUnit(serial=serial, reason="?") if scrap else ClearUnit(serial=serial, reason="?")
        assert self.command(command) == foreseen
        if foreseen is None:
            model.state = after
            if scrap and model.has_certificate:
                self.ends(number)
            if not scrap:
                model.contested, model.held_by, model.fence = False, ("", ""), model.fence + 1

    @rule(number=units, reason=st.sampled_from(Reason))
    def revoke(self, number: int, reason: Reason) -> None:
        model = self.models[number]
        if model.state == "new":
            return
        foreseen = Code.REVOKED if model.revoked else None if model.has_certificate else Code.WRONG_STATE
        serial = self.factory.unit(self.units[number])["serial"]
        assert self.command(RevokeUnit(serial=serial, reason=reason, note="?")) == foreseen
        if foreseen is None:
            self.ends(number)
            if reason is Reason.KEY_COMPROMISE:
                model.compromised.add(model.certified_key)

    def ends(self, number: int) -> None:
        """The unit's certificate is dead from now on."""
        self.models[number].revoked = True
        self.dead.add(self.factory.unit(self.units[number])["number"])

    @rule(number=units)
    def rework(self, number: int) -> None:
        model = self.models[number]
        if model.state == "new":
            return
        foreseen = None
        if self.closed:
            foreseen = Code.LOT_CLOSED
        elif model.state not in ("complete", "quarantined") or not model.has_certificate:
            foreseen = Code.WRONG_STATE
        elif model.contested:
            foreseen = Code.CONTESTED
        row = self.factory.unit(self.units[number])
        assert self.command(ReworkUnit(serial=row["serial"], reason="?")) == foreseen
        if foreseen is None:
            self.dead.add(row["number"])
            model.state, model.epoch, model.fence = "rework", model.epoch + 1, model.fence + 1
            model.held_by, model.certified_key, model.revoked = ("", ""), b"", False

    @rule(count=st.integers(1, 2))
    def refund(self, count: int) -> None:
        scrapped = sum(model.state == "scrapped" for model in self.models)
        foreseen = None
        if self.closed:
            foreseen = Code.LOT_CLOSED
        elif self.refunded + count > REFUNDS:
            foreseen = Code.REFUNDS_USED_UP
        elif self.refunded + count > scrapped:
            foreseen = Code.NOT_SCRAPPED
        assert self.command(RefundUnits(lot=LOT, count=count, reason="?")) == foreseen
        self.refunded += count if foreseen is None else 0

    @rule()
    def collect(self) -> None:
        foreseen = Code.LOT_CLOSED if self.closed else None if self.stale() else Code.WRONG_STATE
        stale = self.stale()
        assert self.command(ExpireClaims(lot=LOT)) == foreseen
        if foreseen is None:
            for number in stale:
                self.expire(number)

    @rule(minutes=st.sampled_from([1, 30, 59, 61, 300, -30]))
    def jump(self, minutes: int) -> None:
        self.pass_time(timedelta(minutes=minutes))

    def pass_time(self, by: timedelta) -> None:
        self.now += by
        self.factory.clock.advance(by)

    @precondition(lambda self: not self.closed)
    @rule()
    def restart(self) -> None:
        self.factory.reopen()
        self.benches = {name: self.factory.bench(name) for name in STATIONS}

    @precondition(lambda self: self.steps > 15 and not self.closed)
    @rule()
    def close(self) -> None:
        in_work = any(model.state in IN_WORK for model in self.models)
        note = self.factory.platform.checkpoint().note
        assert self.command(CloseLotUnder(lot=LOT, checkpoint=note)) == (Code.WRONG_STATE if in_work else None)
        self.closed = not in_work

    def command(self, command: Command | Prepared) -> str | None:
        try:
            self.factory.platform.command(command)
        except RefusedError as refused:
            return refused.code
        return None

    # --- what always holds ---

    @invariant()
    def the_tables_are_as_foreseen(self) -> None:
        self.steps += 1
        rows = {row["hardware_id"]: row for row in self.factory.rows("units")}
        for unit, model in zip(self.units, self.models, strict=True):
            row = rows.get(unit.hardware_id.hex())
            if row is None:
                assert model.state == "new"
                continue
            assert (row["state"], row["contested"], row["fence"]) == (model.state, model.contested, model.fence)
            assert (row["live"], row["epoch"]) == (model.state in LIVE, model.epoch)
            assert (row["certificate"] is not None) == model.has_certificate
        lot = self.factory.row("lots", lot=LOT)
        counts = {"in_work": IN_WORK, "shipped": ("complete",), "scrapped": ("scrapped",)}
        for column, states in {**counts, "quarantined": ("quarantined",)}.items():
            assert lot[column] == sum(model.state in states for model in self.models)
        assert lot["refunded"] == self.refunded
        assert self.used() <= lot["granted"] + lot["refunded"] == GRANT + self.refunded
        assert {row["number"] for row in self.factory.rows("revocations")} == self.dead
        certificates = self.factory.rows("certificates")
        assert len({(row["hardware_id"], row["epoch"]) for row in certificates}) == len(certificates)
        if self.steps % REPLAY_EVERY == 0:
            self.factory.check()


def test_whatever_is_asked(factory_template: Path) -> None:
    class Here(Line):
        template = factory_template

    run_state_machine_as_test(Here, settings=settings(stateful_step_count=60))
