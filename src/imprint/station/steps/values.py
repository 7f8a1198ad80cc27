"""The values that a unit was given, written into its settings."""

from imprint.station.run import Run
from imprint.station.steps.step import Options

PREFIX = "imprint/"


async def write_values(run: Run, _options: Options) -> str:
    """Store serial number and pool values as settings ``imprint/<name>``; what is there stays."""
    written = 0
    for name, value in given_values(run).items():
        if await run.target.setting(name) != value:
            await run.target.write_setting(name, value)
            written += 1
    if written:
        await run.target.save_settings()
        await check_values(run)
    return f"{written} written"


async def check_values(run: Run) -> None:
    """Read every value back."""
    for name, value in given_values(run).items():
        if await run.target.setting(name) != value:
            raise run.fail(f"the setting {name} does not hold its value", next_step="Look at the unit's flash")


def given_values(run: Run) -> dict[str, bytes]:
    """Setting names and values of this unit."""
    values = {"serial": run.place.serial, **run.place.values}
    return {f"{PREFIX}{name}": value.encode() for name, value in values.items()}
