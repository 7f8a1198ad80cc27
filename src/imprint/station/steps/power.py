"""Taking the power away."""

from imprint.protocol.evidence import Grade
from imprint.station.run import Run
from imprint.station.steps.step import Options


async def power_cycle(run: Run, _options: Options) -> str:
    """Off and on again; the same unit has to come back. A bench without a power switch resets the unit instead."""
    if run.power is None:
        await run.restart()
        run.observe("power-cycle", "reset", Grade.DECLARED)
        return "reset (the fixture has no power switch)"
    before = await run.same_unit()
    await run.power.power_cycle()
    run.check_same(await run.target.await_boot(before.boots))
    run.observe("power-cycle", "done", Grade.STATION_OBSERVED)
    return "power was off"
