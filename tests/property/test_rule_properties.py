"""Stations on bad wires, an owner, a clock that jumps, a store that breaks and an authority that is started again:
after each step the rules hold, as plain SQL, the ledger and what stations were told say (``rules_check``).

``test_life_cycle_properties`` foresees each answer; this test foresees none, and so can ask anything.
"""

import asyncio
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
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
from imprint.errors import ConflictError, KeyStoreError, RefusedError, StorageError
from imprint.protocol.answers import Certified, Challenged, Claimed, Permitted
from imprint.protocol.commands import ClearUnit, Command, ExpireClaims, ScrapUnit
from imprint.protocol.intentions import ClaimUnit, Intention, QuarantineUnit, ReleaseUnit
from imprint.testing.soft_station import SoftStation
from imprint.testing.soft_unit import SoftUnit
from imprint.testing.stores import Break
from rule_mutants import RULE_MUTANTS
from rules_check import Heard, broken_rules
from soft_factory import LOT, Factory, SetClock, copy_workspace, new_unit, open_factory
from wired_line import Tap

STATIONS = ("east", "west")
UNITS = 5  # for a grant of three
STEPS = 40
EXAMPLES = 100  # within which each mutant is found
MOMENT = timedelta(milliseconds=1)


@dataclass(slots=True)
class Known:
    """What a station was told of a unit; ``claims`` are those that it was given a challenge for."""

    fence: int = 1
    challenge: bytes = bytes(32)
    claims: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it lies on the wire."""

    station: str
    request: str
    intention: Intention
    unit: int


units = st.integers(0, UNITS - 1)
stations = st.sampled_from(STATIONS)
later = st.sampled_from([False, False, True])
keys = st.sampled_from([*[None] * UNITS, *range(UNITS)])  # mostly its own


class Rules(RuleBasedStateMachine):
    """Anything may be asked of the authority, in any order, any number of times."""

    template: Path

    @initialize()
    def start(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.loop = asyncio.Runner()
        self.heard: list[Heard] = []
        self.sent: list[Sent] = []
        self.waiting: list[Sent] = []
        self.units = [new_unit(hardware_id=bytes([number + 1] * 8)) for number in range(UNITS)]
        self.known: dict[tuple[str, int], Known] = {}
        folder = copy_workspace(self.template, self.home / "workspace")
        self.factory: Factory = open_factory(folder, SetClock())
        self.package = self.loop.run(self.factory.platform.station("east").lot(LOT))
        self.plug_in()

    def plug_in(self) -> None:
        self.store = self.factory.breaking_store()
        ports = {name: Tap(name, self.factory.platform.station(name), self.heard) for name in STATIONS}
        self.stations = {name: SoftStation(port, self.package) for name, port in ports.items()}

    def teardown(self) -> None:
        if hasattr(self, "factory"):
            self.factory.stop()
            self.loop.close()
            shutil.rmtree(self.home)

    def send(self, station: str, unit: int, intention: Intention, late: bool) -> None:
        """Under a new request ID; what is late lies on the wire for as long as it likes."""
        sent = Sent(station, f"q{len(self.sent)}", intention, unit)
        self.sent.append(sent)
        if late:
            self.waiting.append(sent)
        else:
            self.arrive(sent)

    def arrive(self, sent: Sent) -> None:
        self.factory.clock.advance(MOMENT)
        station, known = self.stations[sent.station], self.known.setdefault((sent.station, sent.unit), Known())
        try:
            result = self.loop.run(station.port.ask(sent.request, sent.intention)).result
        except (StorageError, KeyStoreError):  # broken on purpose, or the clock was before the CA was made
            return
        if isinstance(result, Claimed | Certified | Permitted):
            known.challenge = result.challenge
        if isinstance(result, Claimed):
            known.fence = result.fence
        if isinstance(result, Challenged):
            known.claims[sent.request] = result.challenge
        if isinstance(result, Certified):
            station.load(self.units[sent.unit], result.certificate)

    # --- what stations send ---

    @rule(unit=units, name=stations, run=st.sampled_from(["a", "b"]), late=later)
    def claim(self, unit: int, name: str, run: str, late: bool) -> None:
        self.send(name, unit, self.stations[name].claiming(self.units[unit], run=run), late)

    @rule(unit=units, name=stations, run=st.sampled_from(["a", "b"]), by_clone=later)
    def begin(self, unit: int, name: str, run: str, by_clone: bool) -> None:
        """As an honest station begins, with the unit or with its clone."""
        board = self.board(unit, by_clone)
        self.claim(unit, name, run, late=False)
        for claim, challenge in list(self.known[name, unit].claims.items())[-1:]:
            self.send(name, unit, self.stations[name].taking_over(board, claim, challenge), late=False)
        self.send(name, unit, self.stations[name].certifying(board, self.fence(name, unit)), late=False)

    @precondition(lambda self: any(known.claims for known in self.known.values()))
    @rule(data=st.data(), by_clone=later, late=later)
    def take_over(self, data: st.DataObject, by_clone: bool, late: bool) -> None:
        """With any challenge that this station was ever given for the unit, or with another's answer."""
        name, unit = data.draw(st.sampled_from(sorted(key for key, known in self.known.items() if known.claims)))
        known = self.known[name, unit]
        claim, challenge = data.draw(st.sampled_from(list(known.claims.items())))
        answered = data.draw(st.sampled_from([challenge, challenge, known.challenge]))
        self.send(name, unit, self.stations[name].taking_over(self.board(unit, by_clone), claim, answered), late)

    def board(self, unit: int, by_clone: bool) -> SoftUnit:
        """What is on the bench."""
        return new_unit(hardware_id=self.units[unit].hardware_id) if by_clone else self.units[unit]

    @rule(unit=units, name=stations, key_of=keys, late=later)
    def certify(self, unit: int, name: str, key_of: int | None, late: bool) -> None:
        key = self.units[unit if key_of is None else key_of].key
        board = SoftUnit(hardware_id=self.units[unit].hardware_id, key=key)
        self.send(name, unit, self.stations[name].certifying(board, self.fence(name, unit)), late)

    @rule(unit=units, name=stations, late=later)
    def permit(self, unit: int, name: str, late: bool) -> None:
        self.send(name, unit, self.stations[name].permitting(self.units[unit], self.fence(name, unit)), late)

    @rule(unit=units, name=stations, late=later)
    def complete(self, unit: int, name: str, late: bool) -> None:
        known = self.known.setdefault((name, unit), Known())
        intention = self.stations[name].completing(self.units[unit], known.fence, known.challenge)
        self.send(name, unit, intention, late)

    @rule(unit=units, name=stations, kind=st.sampled_from([ReleaseUnit, QuarantineUnit]), late=later)
    def give_up(self, unit: int, name: str, kind: type[ReleaseUnit | QuarantineUnit], late: bool) -> None:
        hardware_id = self.units[unit].hardware_id.hex()
        self.send(name, unit, kind(lot=LOT, hardware_id=hardware_id, fence=self.fence(name, unit), reason="?"), late)

    def fence(self, name: str, unit: int) -> int:
        return self.known.setdefault((name, unit), Known()).fence

    # --- what wires do ---

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def arrive_late(self, data: st.DataObject) -> None:
        self.arrive(self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1))))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def arrive_again(self, data: st.DataObject) -> None:
        self.arrive(data.draw(st.sampled_from(self.sent)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), unit=units)
    def ask_something_else(self, data: st.DataObject, unit: int) -> None:
        """Another body under a known ID."""
        sent = data.draw(st.sampled_from(self.sent))
        other = ClaimUnit(lot=LOT, run="c", hardware_id=self.units[unit].hardware_id.hex())
        self.arrive(replace(sent, intention=other, unit=unit))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), name=stations)
    def ask_as_another(self, data: st.DataObject, name: str) -> None:
        """The same ID and body from whoever has overheard it."""
        self.arrive(replace(data.draw(st.sampled_from(self.sent)), station=name))

    # --- what owners, time, disks and power do ---

    @rule(unit=units, kind=st.sampled_from([ClearUnit, ClearUnit, ScrapUnit]))
    def look_at(self, unit: int, kind: type[ClearUnit | ScrapUnit]) -> None:
        for row in self.factory.rows("units", hardware_id=self.units[unit].hardware_id.hex()):
            self.command(kind(serial=row["serial"], reason="?"))

    @rule()
    def collect(self) -> None:
        self.command(ExpireClaims(lot=LOT))

    @precondition(lambda self: len(self.sent) > STEPS // 2)
    @rule()
    def close(self) -> None:
        """Refused while units are in work; afterwards everything else is."""
        self.command(CloseLotUnder(lot=LOT, checkpoint=self.factory.platform.checkpoint().note))

    def command(self, command: Command | Prepared) -> None:
        with suppress(RefusedError, StorageError):
            self.factory.platform.command(command)

    @rule(minutes=st.sampled_from([61, 300, 30, -30, -5000]))
    def jump(self, minutes: int) -> None:
        self.factory.clock.advance(timedelta(minutes=minutes))

    @rule(how=st.sampled_from(Break))
    def break_a_write(self, how: Break) -> None:
        self.store.break_next(how)

    @rule()
    def restart(self) -> None:
        self.factory.reopen()
        self.plug_in()

    # --- what always holds ---

    @invariant()
    def the_rules_hold(self) -> None:
        wrong = broken_rules(self.factory.folder, self.heard)
        assert not wrong, "\n".join(wrong)


def test_whatever_is_asked(factory_template: Path) -> None:
    class Here(Rules):
        template = factory_template

    run_state_machine_as_test(Here, settings=settings(stateful_step_count=STEPS))


@pytest.mark.parametrize("name", RULE_MUTANTS)
def test_an_authority_without_one_of_its_rules_is_found_out(
    factory_template: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The negative controls: the same machine, always the same examples."""
    mutant = RULE_MUTANTS[name]
    mutant.plant(monkeypatch)

    class Here(Rules):
        template = factory_template

    always_the_same = settings(
        stateful_step_count=STEPS,
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((AssertionError, ConflictError), match=mutant.found) as caught:
        run_state_machine_as_test(Here, settings=always_the_same)
    print(f"{name}: {str(caught.value).splitlines()[0]}")
