"""Many fixtures at once, in one process. One fixture's trouble never holds up another."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imprint.clock import Clock, to_text
from imprint.errors import ConflictError, ImprintError, RefusedError, StorageError
from imprint.formats.mcuboot import parse
from imprint.protocol.port import AuthorityPort, LotPackage
from imprint.protocol.refusals import Code
from imprint.station.asker import Asker
from imprint.station.attempt import attempt
from imprint.station.fixture import Fixture
from imprint.station.journal import Journal
from imprint.station.journal_entry import RunEnded, RunStarted
from imprint.station.possession import holds_identity, serial_of
from imprint.station.recipe import Recipe, check_fits, parse_recipe
from imprint.station.run import Run
from imprint.station.run_event import RunEvent, RunOutcome, Status
from imprint.station.targets.bench import Bench
from imprint.station.targets.smp import SmpTarget

_RUN_BYTES: Final = 8


async def run_fixtures(
    *,
    station: str,
    port: AuthorityPort,
    package: LotPackage,
    fixtures: Sequence[Fixture],
    at_once: int,
    journal: Journal,
    clock: Clock,
    on_event: Callable[[RunEvent], None],
) -> list[RunOutcome]:
    """Take the unit in each fixture through the lot's recipe, ``at_once`` of them at a time; one outcome each.

    A unit whose run was broken off by a crash or a cancellation goes on where it was. Cancelling stops all fixtures at
    once and leaves their runs open in the journal. Raises :class:`imprint.errors.RecipeError` or
    :class:`imprint.errors.FormatError` before any unit is touched, when recipe and lot do not fit together.
    """
    recipe = parse_recipe(package.recipe, name=package.recipe_name)
    check_fits(
        recipe,
        name=package.recipe_name,
        key_origin=package.key_origin,
        has_diagnostic=package.diagnostic is not None,
        least_grades=package.least_grades,
    )
    for image in (package.firmware, package.diagnostic):
        if image is not None:
            parse(image)
    line = _Line(station, port, package, recipe, journal, clock, on_event)
    room = asyncio.Semaphore(at_once)

    async def work(fixture: Fixture) -> RunOutcome:
        async with room:
            return await line.work(fixture)

    results = await asyncio.gather(*(work(fixture) for fixture in fixtures), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result  # a defect of the program; the other fixtures have finished by now
    return [result for result in results if isinstance(result, RunOutcome)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A fixture at work, with its ports open."""

    fixture: Fixture
    target: SmpTarget
    bench: Bench | None


class _Line:
    """What the fixtures of one call share."""

    def __init__(
        self,
        station: str,
        port: AuthorityPort,
        package: LotPackage,
        recipe: Recipe,
        journal: Journal,
        clock: Clock,
        on_event: Callable[[RunEvent], None],
    ) -> None:
        self._station: Final = station
        self._port: Final = port
        self._package: Final = package
        self._recipe: Final = recipe
        self._journal: Final = journal
        self._clock: Final = clock
        self._on_event: Final = on_event
        self._active: Final[set[str]] = set()

    async def work(self, fixture: Fixture) -> RunOutcome:
        """One fixture, from opening its ports to closing them."""
        target = SmpTarget(fixture.port, baud=fixture.baud)
        bench_path = fixture.bench or bench_beside(fixture.port)
        bench = Bench(bench_path) if bench_path else None
        place = _Place(fixture=fixture, target=target, bench=bench)
        try:
            await target.open()
            if bench is not None:
                bench.open()
            hardware_id = (await target.identify()).hardware_id
            outcome = await self._receive(place, hardware_id)
        except ImprintError as problem:
            status = Status.INTERRUPTED if isinstance(problem, StorageError) else Status.FAILED
            outcome = _outcome(fixture, None, status, str(problem))
        finally:
            await target.close()
            if bench is not None:
                bench.close()
        self._on_event(outcome)
        return outcome

    async def _receive(self, place: _Place, hardware_id: str) -> RunOutcome:
        """Decide what the unit is to this station: a stranger, an old friend, or a twin of one at work."""
        if hardware_id in self._active:
            return await self._imprint(place, hardware_id, self._start(place, hardware_id))
        self._active.add(hardware_id)
        try:
            certificate = self._journal.history.identity(hardware_id)
            if certificate is not None and await self._is_complete(place, hardware_id, certificate):
                message = f"this unit was completed before, as {serial_of(certificate)}"
                return _outcome(place.fixture, hardware_id, Status.ALREADY_COMPLETE, message)
            return await self._imprint(place, hardware_id, await self._resume(place, hardware_id))
        finally:
            self._active.discard(hardware_id)

    async def _is_complete(self, place: _Place, hardware_id: str, certificate: bytes) -> bool:
        """Whether there is nothing left to do: the unit holds its identity, and the authority knows that (one that was
        restored from a backup may have lost it) and has not ended it since."""
        if not await holds_identity(place.target, hardware_id, certificate):
            return False
        return await self._port.is_valid(certificate)

    async def _resume(self, place: _Place, hardware_id: str) -> str:
        """The run that this unit has open, or a new one."""
        for run in self._journal.history.unfinished(hardware_id):
            if run.started.lot == self._package.lot:
                return run.started.run
            if not await self._has_closed(run.started.lot):
                raise ConflictError(
                    f"the unit's run in lot {run.started.lot} is unfinished",
                    subject=hardware_id,
                    next_step=f"Run it in lot {run.started.lot} first",
                )
            ended = RunEnded(run=run.started.run, outcome=Status.FAILED, time=to_text(self._clock()))
            self._journal.append(ended)  # its lot has closed without it
        return self._start(place, hardware_id)

    async def _has_closed(self, lot: str) -> bool:
        try:
            await self._port.lot(lot)
        except RefusedError as refused:
            return refused.code == Code.LOT_CLOSED
        return False

    def _start(self, place: _Place, hardware_id: str) -> str:
        run = f"{self._station}-{secrets.token_hex(_RUN_BYTES)}"
        started = RunStarted(
            run=run,
            lot=self._package.lot,
            hardware_id=hardware_id,
            fixture=place.fixture.name,
            time=to_text(self._clock()),
        )
        self._journal.append(started)
        return run

    async def _imprint(self, place: _Place, hardware_id: str, run_id: str) -> RunOutcome:
        def tell(status: Status, message: str) -> None:
            self._on_event(
                RunEvent(
                    fixture=place.fixture.name,
                    run=run_id,
                    hardware_id=hardware_id,
                    serial=run.claimed.serial if run.claimed else None,
                    step=run.step,
                    status=status,
                    message=message,
                )
            )

        run = Run(
            hardware_id=hardware_id,
            package=self._package,
            steps=self._recipe.step_names,
            fixture=place.fixture,
            target=place.target,
            power=place.bench,
            probe=place.bench,
            asker=Asker(
                run=run_id,
                port=self._port,
                journal=self._journal,
                report=lambda message: tell(Status.WAITING, message),
            ),
            clock=self._clock,
            report=lambda message: tell(Status.WORKING, message),
        )
        ending = await attempt(run, self._recipe, self._journal, tell)
        if ending.status is not Status.INTERRUPTED:
            self._journal.append(RunEnded(run=run_id, outcome=ending.status, time=to_text(self._clock())))
        return RunOutcome(
            fixture=place.fixture.name,
            run=run_id,
            hardware_id=hardware_id,
            serial=run.claimed.serial if run.claimed else None,
            step=ending.step,
            status=ending.status,
            message=ending.message,
        )


def bench_beside(port: str) -> str | None:
    """The bench port of a fixture, if it has one: it lies beside the unit's port, as ``PORT.bench``."""
    beside = f"{port}.bench"
    return beside if Path(beside).exists() else None


def _outcome(fixture: Fixture, hardware_id: str | None, status: Status, message: str) -> RunOutcome:
    """The outcome of a fixture in which no run took place."""
    return RunOutcome(
        fixture=fixture.name,
        run=None,
        hardware_id=hardware_id,
        serial=None,
        step=None,
        status=status,
        message=message,
    )
