"""The last look at the unit, and its completion."""

from imprint.encoding import sha256, sha256_hex
from imprint.errors import FormatError
from imprint.formats.mcuboot import parse
from imprint.formats.provisioning_group import DebugLevel, UnitStatement
from imprint.protocol.evidence import Grade
from imprint.protocol.intentions import CompleteUnit
from imprint.station.run import Run
from imprint.station.steps.functional_test import TestOptions, self_test
from imprint.station.steps.step import Options
from imprint.station.steps.values import check_values


async def final_check(run: Run, options: TestOptions) -> str:
    """Test again and read back all that was written, after the last write and a power cycle."""
    identity = await run.same_unit()
    run.observe("hardware-id", identity.hardware_id, Grade.DECLARED)
    await self_test(run, options)
    await _check_boot_key(run)
    await _check_firmware(run)
    await _check_certificate(run)
    if "write-values" in run.steps:
        await check_values(run)
    await _check_debug(run)
    return "all as it should be"


async def complete(run: Run, _options: Options) -> str:
    """Have the unit sign what it is over the authority's last challenge, and hand in the evidence."""
    await run.same_unit()
    proof = await run.target.prove(run.challenge)
    statement = UnitStatement.decode(proof.statement)
    if statement.nonce != run.challenge or statement.cert != sha256(run.identity.certificate):
        raise FormatError("the statement answers another challenge or names another certificate", subject="unit")
    await run.ask(
        CompleteUnit(
            lot=run.package.lot,
            hardware_id=run.hardware_id,
            fence=run.place.fence,
            statement=proof.statement,
            signature=proof.signature,
            observed=run.observed,
            measurements=run.measured,
        )
    )
    return "birth record signed"


async def _check_boot_key(run: Run) -> None:
    fused = await run.target.boot_key()
    run.observe("boot-key", (fused or b"").hex(), Grade.DECLARED)
    if fused != sha256(run.package.boot_key):
        raise run.fail("the boot-key fuses do not hold the lot's key", next_step="Keep the board aside")


async def _check_firmware(run: Run) -> None:
    image = parse(run.package.firmware)
    running = [slot for slot in await run.target.images() if slot.active]
    run.observe("firmware", running[0].hash.hex() if running else "", Grade.DECLARED)
    if [slot.hash for slot in running] != [image.image_hash]:
        raise run.fail("the unit does not run the production firmware", next_step="Keep the board aside")
    counters = await run.target.counters()
    if counters.security < (image.security_counter or 0):
        raise run.fail(f"the security counter is {counters.security}, below the firmware's {image.security_counter}")


async def _check_certificate(run: Run) -> None:
    stored = await run.target.certificate()
    run.observe("identity", sha256_hex(stored) if stored else "", Grade.DECLARED)
    if stored != run.identity.certificate:
        raise run.fail("the stored certificate is not the unit's", next_step="Keep the board aside")


async def _check_debug(run: Run) -> None:
    """What the firmware says, and what a probe finds: a port can be open while the firmware calls it locked."""
    said = await run.target.debug_level()
    run.observe("debug", said.name.lower(), Grade.DECLARED)
    found = said
    if run.probe is not None:
        found = await run.probe.attach()
        run.observe("debug", found.name.lower(), Grade.STATION_OBSERVED)
    if "lock-debug" in run.steps and (said, found) != (DebugLevel.LOCKED, DebugLevel.LOCKED):
        raise run.fail(
            f"the debug port is not locked: the firmware says {said.name.lower()}, the port is {found.name.lower()}",
            next_step="Keep the board aside: whoever has it can read its keys",
        )
