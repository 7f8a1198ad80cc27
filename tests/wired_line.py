"""A line of soft units whose stations keep journals and reach their authority over wires, in virtual time: retries,
takeovers and leases as they are, without waiting, and what was asked and answered for ``rules_check``."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from imprint.assemble import Platform
from imprint.authority.decisions.changes import Row
from imprint.errors import ImprintError, StorageError
from imprint.protocol.answers import Answer, Certified, Challenged, Claimed, Refused
from imprint.protocol.codec import decode_answer, encode_answer, encode_intention
from imprint.protocol.commands import ClearUnit, CreateLot
from imprint.protocol.intentions import Intention, QuarantineUnit, ReleaseUnit
from imprint.protocol.port import AuthorityPort, LotPackage
from imprint.reader import open_reader
from imprint.station.asker import Asker
from imprint.station.journal import Journal, open_journal
from imprint.station.journal_entry import RunEnded, RunStarted
from imprint.station.run_event import Status
from imprint.testing.soft_station import RefusedHere, SoftStation
from imprint.testing.soft_unit import SoftUnit, new_key
from imprint.testing.stores import BreakingStore
from imprint.testing.virtual_time import VirtualTime, WallClock
from imprint.testing.wire import Passage, Wire
from rules_check import Heard, broken_rules
from soft_factory import RECIPE, SIGNERS, break_store, copy_workspace

LOT: Final = "lot-w"
LEASE_S: Final = 3600.0
BRIEF: Final = Passage(arrivals=(1.0,), reply=1.0)
STATIONS: Final = ("east", "west")
FAILS_AFTER: Final = ("", "claim", "certify")  # what the units of each station come to in their first attempt
STEPS: Final = {
    "": ("claim", "certify", "permit", "complete"),
    "claim": ("claim", "release"),
    "certify": ("claim", "certify", "quarantine"),
}
COUNT: Final = len(STATIONS) * len(FAILS_AFTER)
TIME: Final = "2026-01-01T00:00:00.000Z"

Passages = Callable[[str], Passage]


class Tap:
    """An authority's door: whatever is asked and answered there, is heard."""

    def __init__(self, actor: str, port: AuthorityPort, heard: list[Heard]) -> None:
        self._actor = actor
        self._port = port
        self._heard = heard

    async def ask(self, request_id: str, intention: Intention) -> Answer:
        asked = Heard(actor=self._actor, request=request_id, body=encode_intention(intention), answer=None)
        place = len(self._heard)
        self._heard.append(asked)
        answer = await self._port.ask(request_id, intention)
        self._heard[place] = replace(asked, answer=encode_answer(answer))
        return answer

    async def is_valid(self, certificate: bytes) -> bool:
        return await self._port.is_valid(certificate)

    async def lot(self, lot: str) -> LotPackage:
        return await self._port.lot(lot)


class Journalled:
    """Asks as a station does: through its journal, under a request ID for each step of a run."""

    def __init__(self, asker: Asker, journal: Journal) -> None:
        self.asker = asker
        self._journal = journal

    async def ask(self, _: str, intention: Intention) -> Answer:
        await self.asker.ask(intention.kind, intention)
        answered = self._journal.history.open_run(self.asker.run).answered
        return decode_answer(answered[f"{self.asker.run}.{intention.kind}"].encode())

    async def is_valid(self, certificate: bytes) -> bool:
        raise AssertionError("nobody asks this here")

    async def lot(self, lot: str) -> LotPackage:
        raise AssertionError(f"the package of {lot} is at hand")


class WiredStation:
    """Takes units through the life cycle as the real station does, with their boards left out."""

    def __init__(self, name: str, port: AuthorityPort, package: LotPackage, journal: Journal) -> None:
        self.name = name
        self._port = port
        self._package = package
        self._journal = journal
        self._runs = 0

    async def work(self, unit: SoftUnit, *, fails_after: str = "") -> Status:
        """One attempt, or what is left of an attempt that was interrupted; it may fail on purpose after a step."""
        run = self._run(unit.hardware_id.hex())
        asker = Asker(run=run, port=self._port, journal=self._journal)
        try:
            status = await self._attempt(unit, asker, fails_after)
        except StorageError:
            return Status.INTERRUPTED
        self._journal.append(RunEnded(run=run, outcome=status, time=TIME))
        return status

    async def _attempt(self, unit: SoftUnit, asker: Asker, fails_after: str) -> Status:
        soft = SoftStation(Journalled(asker, self._journal), self._package)
        claimed: Claimed | None = None
        certified: Certified | None = None
        try:
            claimed = await self._claim(unit, soft, asker)
            if fails_after == "claim":
                raise ImprintError("the self-test fails")
            certified = await soft.certify(unit, claimed.fence)
            soft.load(unit, certified.certificate)
            if fails_after == "certify":
                raise ImprintError("the firmware does not start")
            permitted = await soft.permit(unit, claimed.fence)
            await soft.complete(unit, claimed.fence, permitted.challenge)
        except StorageError:
            raise
        except (RefusedHere, ImprintError):
            if claimed is None:
                return Status.REFUSED
            return await self._give_back(unit, claimed, asker, keep=certified is not None)
        return Status.COMPLETE

    async def _claim(self, unit: SoftUnit, soft: SoftStation, asker: Asker) -> Claimed:
        result = await asker.ask("claim", soft.claiming(unit, run=asker.run))
        if isinstance(result, Challenged):
            proof = soft.taking_over(unit, asker.request_id("claim"), result.challenge)
            result = await asker.ask(proof.kind, proof)
        if not isinstance(result, Claimed):
            assert isinstance(result, Refused)
            raise RefusedHere(result)
        return result

    async def _give_back(self, unit: SoftUnit, claimed: Claimed, asker: Asker, *, keep: bool) -> Status:
        kind: type[QuarantineUnit | ReleaseUnit] = QuarantineUnit if keep else ReleaseUnit
        intention = kind(lot=LOT, hardware_id=unit.hardware_id.hex(), fence=claimed.fence, reason="it fails")
        result = await asker.ask(intention.kind, intention)
        if isinstance(result, Refused):
            return Status.FAILED
        return Status.QUARANTINED if keep else Status.RELEASED

    def _run(self, hardware_id: str) -> str:
        for run in self._journal.history.unfinished(hardware_id):
            return run.started.run
        self._runs += 1
        name = f"{self.name}-{self._runs}-{hardware_id}"
        self._journal.append(RunStarted(run=name, lot=LOT, hardware_id=hardware_id, fixture="0", time=TIME))
        return name


@dataclass(slots=True, kw_only=True)
class WiredLine:
    """An authority in virtual time, and how to reach it."""

    folder: Path
    platform: Platform
    store: BreakingStore
    clock: WallClock
    heard: list[Heard]
    wires: list[Wire]
    calm_now: bool = False
    _open: ExitStack

    async def station(self, name: str, passages: Passages, *, journal: str = "") -> WiredStation:
        """A station behind a wire; another ``journal`` than its own is as if it had lost it."""
        wire = self._wire(name, passages)
        kept = self._open.enter_context(open_journal(self.folder / f"{journal or name}.journal"))
        return WiredStation(journal or name, wire, await wire.lot(LOT), kept)

    async def soft_station(self, name: str, passages: Passages, *, lot: str) -> SoftStation:
        """A station that is only its questions, behind a wire."""
        wire = self._wire(name, passages)
        return SoftStation(wire, await wire.lot(lot), prefix=name)

    def _wire(self, name: str, passages: Passages) -> Wire:
        def passage(request_id: str) -> Passage:
            return BRIEF if self.calm_now else passages(request_id)

        self.wires.append(Wire(Tap(name, self.platform.station(name), self.heard), passage))
        return self.wires[-1]

    def add_lot(self, lot: str, *, count: int) -> None:
        """A lot of the template's product."""
        pinned = {"recipe": RECIPE, "recipe_name": "typical.yaml", "firmware": "1.0.0+0", "diagnostic": None}
        self.platform.command(CreateLot(lot=lot, product="lamp", count=count, **pinned))  # type: ignore[arg-type]

    async def quiet(self) -> None:
        """Until all that is under way has arrived."""
        for wire in self.wires:
            await wire.quiet()

    def row(self, unit: SoftUnit) -> Row | None:
        """The unit as the authority knows it."""
        with self.platform.reader.store.reading() as store:
            rows = store.find("units", hardware_id=unit.hardware_id.hex())
        return rows[-1] if rows else None

    def clear(self, unit: SoftUnit) -> None:
        """What an officer does before a unit changes hands: frees one that is contested or in quarantine, and looks
        again when the store breaks. What is certified changes hands by itself."""
        while (row := self.row(unit)) is not None:
            if not row["contested"] and row["state"] != "quarantined":
                return
            with suppress(StorageError):
                self.platform.command(ClearUnit(serial=row["serial"], reason="looked at"))
                return

    async def take_over(self, unit: SoftUnit, taker: WiredStation) -> Status:
        """The unit on another bench, its lease being over."""
        self.clear(unit)
        return await taker.work(unit)

    async def finish(self, unit: SoftUnit, taker: WiredStation) -> None:
        """As often as it takes."""
        for _ in range(20):
            self.clear(unit)
            row = self.row(unit)
            if row is not None and row["state"] == "complete":
                return
            await asyncio.sleep(LEASE_S + 1)
            await self.take_over(unit, taker)
        raise AssertionError(f"unit {unit.hardware_id.hex()} cannot be finished: {self.row(unit)}")

    def states(self) -> list[str]:
        """Of all units, in the order of their hardware IDs."""
        with self.platform.reader.store.reading() as store:
            return [row["state"] for row in store.find("units")]

    def wrong(self) -> list[str]:
        """All rules that do not hold."""
        return broken_rules(self.folder, self.heard)


@contextmanager
def wired_line(template: Path, folder: Path, loop: asyncio.Runner, *, count: int = COUNT) -> Iterator[WiredLine]:
    """A lot of ``count`` units in a copy of the template."""
    copy_workspace(template, folder)
    clock = WallClock(loop.get_loop())
    platform = Platform(open_reader(folder), SIGNERS, clock)
    store = break_store(platform)
    with ExitStack() as stack:
        stack.callback(platform.close)
        line = WiredLine(folder=folder, platform=platform, store=store, clock=clock, heard=[], wires=[], _open=stack)
        line.add_lot(LOT, count=count)
        store.writes = 0
        yield line


async def whole_lot(line: WiredLine, passages: Passages, *, same_taker: bool = False) -> None:
    """Two stations make all units of a lot, some of which fail at first. Those that a station could not finish change
    hands when their leases are over, to the other station or to the ``same_taker``, which has lost its journal. Then
    what is late arrives, the first station comes back to them, and everything is finished in calm."""
    units = soft_units(COUNT)
    stations = [await line.station(name, passages) for name in STATIONS]
    takers = stations[::-1]
    if same_taker:
        takers = [await line.station(name, calm, journal=f"{name}-anew") for name in STATIONS]
    jobs = [(unit, stations[n % 2], takers[n % 2], FAILS_AFTER[n // 2]) for n, unit in enumerate(units)]
    ended = await asyncio.gather(*(station.work(unit, fails_after=fails) for unit, station, _, fails in jobs))
    left = [job for job, status in zip(jobs, ended, strict=True) if status is Status.INTERRUPTED]
    if left:
        await asyncio.sleep(LEASE_S + 1)
        await asyncio.gather(*(line.take_over(unit, taker) for unit, _, taker, _ in left))
    await line.quiet()
    line.calm_now = True
    line.clock.set_right()
    for unit, station, _, _ in left:
        await station.work(unit)
    for unit, _, taker, _ in jobs:
        await line.finish(unit, taker)


def calm(_: str) -> Passage:
    """Every message takes a second."""
    return BRIEF


def messages() -> Iterator[str]:
    """The request IDs of a whole lot in calm."""
    for number, unit in enumerate(soft_units(COUNT)):
        station, attempt = STATIONS[number % 2], number // 2 + 1
        for step in STEPS[FAILS_AFTER[number // 2]]:
            yield f"{station}-{attempt}-{unit.hardware_id.hex()}.{step}"


def virtual_loop() -> asyncio.Runner:
    """A loop in which waiting costs nothing."""
    return asyncio.Runner(loop_factory=VirtualTime)


def soft_units(count: int) -> Sequence[SoftUnit]:
    """Units with hardware IDs that come again in the next run."""
    return [SoftUnit(hardware_id=bytes([number + 1]) * 8, key=new_key("ed25519")) for number in range(count)]
