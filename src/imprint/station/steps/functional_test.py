"""The test that the unit's own firmware does."""

from decimal import Decimal

from pydantic import Field

from imprint.protocol.evidence import Grade
from imprint.station.run import Run
from imprint.station.steps.limits import Limit, Name, describe, judge
from imprint.station.steps.step import Options


class TestOptions(Options):
    """``limits``: measurements that must be there and within their limits. Only these go into the record."""

    limits: dict[Name, Limit] = Field(default_factory=dict)


async def self_test(run: Run, options: TestOptions) -> str:
    """The firmware's verdict must be good, and every limit must hold.

    With limits the verdict is the station's own; without any it is merely what the firmware says of itself.
    """
    result = await run.target.self_test()
    missing = sorted(options.limits.keys() - result.values.keys())
    if missing:
        raise run.fail(f"the self-test did not measure {', '.join(missing)}", next_step="Check recipe and firmware")
    judged = [judge(run, name, Decimal(result.values[name]), "", limit) for name, limit in options.limits.items()]
    failed = [describe(one) for one in judged if not one.passed]
    if failed:
        raise run.fail(f"self-test failed: {'; '.join(failed)}", next_step="Repair the board or scrap it")
    if not result.passed:
        raise run.fail("self-test failed: the firmware says so", next_step="Repair the board or scrap it")
    run.observe("self-test", "passed", Grade.STATION_OBSERVED if judged else Grade.DECLARED)
    return f"{len(judged)} measurements within limits"
