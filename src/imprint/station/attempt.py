"""A run from its first open step to its end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from imprint.errors import AccessError, ImprintError, RefusedError, StorageError, UnitSilent
from imprint.protocol.answers import Refused
from imprint.protocol.intentions import QuarantineUnit, ReleaseUnit
from imprint.station.journal import Journal
from imprint.station.journal_entry import StepPassed
from imprint.station.recipe import Recipe, RecipeStep
from imprint.station.run import Run
from imprint.station.run_event import Status

_RELEASE: Final = "release"
_QUARANTINE: Final = "quarantine"
_LONGEST_REASON: Final = 300

Tell = Callable[[Status, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended, at which step if it failed, and what the operator is told."""

    status: Status
    step: str | None
    message: str


async def attempt(run: Run, recipe: Recipe, journal: Journal, tell: Tell) -> Ending:
    """Take the unit through the steps that are left. Every failure of the unit, the bench or the authority becomes an
    ending; an ending other than ``INTERRUPTED`` is final."""
    history = journal.history.open_run(run.asker.run)
    run.restore(history)
    done = history.passed[-1].index + 1 if history.passed else 0
    try:
        if run.asker.has_asked(_RELEASE) or run.asker.has_asked(_QUARANTINE):
            return await _give_back(run, "the run had failed before it was interrupted")
        for index, entry in enumerate(recipe.steps[done:], start=done):
            run.step = entry.name
            tell(Status.WORKING, "")
            message = await _do(run, entry)
            journal.append(
                StepPassed(
                    run=run.asker.run, index=index, step=entry.name, observed=run.observed, measured=run.measured
                )
            )
            tell(Status.PASSED, message)
    except (StorageError, AccessError) as problem:
        return Ending(status=Status.INTERRUPTED, step=run.step, message=str(problem))
    except ImprintError as problem:
        return await _fail(run, problem)
    return Ending(status=Status.COMPLETE, step=None, message=f"serial {run.place.serial}")


async def _do(run: Run, entry: RecipeStep) -> str:
    try:
        async with asyncio.timeout(entry.step.timeout_s) as deadline:
            run.asker.deadline = deadline
            await run.same_unit()
            return await entry.step.act(run, entry.options)
    except TimeoutError:
        raise UnitSilent(f"the step took more than {entry.step.timeout_s:.0f} s", subject=run.hardware_id) from None
    finally:
        run.asker.deadline = None


async def _fail(run: Run, problem: ImprintError) -> Ending:
    """The claim was refused: nothing more is asked. Anything later: the unit is given back."""
    if run.claimed is None:
        status = Status.REFUSED if isinstance(problem, RefusedError) else Status.FAILED
        return Ending(status=status, step=run.step, message=str(problem))
    try:
        return await _give_back(run, str(problem))
    except (StorageError, AccessError) as unreachable:
        return Ending(status=Status.INTERRUPTED, step=run.step, message=f"{problem} {unreachable}")


async def _give_back(run: Run, message: str) -> Ending:
    """Release a unit that has no certificate yet; quarantine it afterwards, and whenever its state is in doubt."""
    step = run.step or None
    reason = f"{run.step}: {message}"[:_LONGEST_REASON]
    lot, hardware_id, fence = run.package.lot, run.hardware_id, run.place.fence
    keep = run.asker.has_asked(_QUARANTINE) or run.has_certificate or run.doubtful
    if keep and not run.asker.has_asked(_RELEASE):
        quarantine = QuarantineUnit(lot=lot, hardware_id=hardware_id, fence=fence, reason=reason)
        result, status = await run.asker.ask(_QUARANTINE, quarantine), Status.QUARANTINED
    else:
        release = ReleaseUnit(lot=lot, hardware_id=hardware_id, fence=fence, reason=reason)
        result, status = await run.asker.ask(_RELEASE, release), Status.RELEASED
    if isinstance(result, Refused):
        return Ending(status=Status.FAILED, step=step, message=f"{message} The authority adds: {result.message}")
    return Ending(status=status, step=step, message=message)
