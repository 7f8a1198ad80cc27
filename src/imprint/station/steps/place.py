"""The unit's place: who is it, and does the lot have room for it?"""

from imprint.protocol.evidence import Grade
from imprint.protocol.intentions import ClaimUnit
from imprint.station.run import Run
from imprint.station.steps.step import Options


async def identify(run: Run, _options: Options) -> str:
    """Note who is in the fixture."""
    identity = await run.same_unit()
    run.observe("hardware-id", identity.hardware_id, Grade.DECLARED)
    return f"{identity.part}, {identity.mode.name.lower()}"


async def claim(run: Run, _options: Options) -> str:
    """Ask for a place in the lot, a serial number and values."""
    await run.ask(
        ClaimUnit(
            lot=run.package.lot,
            run=run.asker.run,
            hardware_id=run.hardware_id,
            scanned_serial=run.fixture.scanned_serial,
        )
    )
    return f"serial {run.place.serial}"
