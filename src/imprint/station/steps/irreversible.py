"""What cannot be undone: observe, ask for a permit, act, observe.

What is already so is not done again, but the permit is asked for all the same: the authority's record then holds it,
and the unit's last statement answers the permit's challenge.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from imprint.encoding import sha256
from imprint.errors import UnitRefused, UnitSilent
from imprint.formats.mcuboot import parse
from imprint.formats.provisioning_group import DebugLevel
from imprint.protocol.evidence import Grade, Observation
from imprint.protocol.intentions import Action, PermitStep
from imprint.station.run import Run
from imprint.station.steps.step import Options

_LOOKS: Final = 3  # how often a silent unit is looked at after an act


async def fuse_boot_key(run: Run, _options: Options) -> str:
    """Burn the key that the unit boots with. Fuses with another key are a failure; with ours, all is well."""
    wanted = sha256(run.package.boot_key)
    fused = await run.target.boot_key()
    if fused not in (None, wanted):
        raise run.fail("the fuses hold another boot key", next_step="Scrap the unit: it can never run this firmware")

    async def is_fused() -> bool:
        return await run.target.boot_key() == wanted

    await _do_once(
        run,
        Action.FUSE_BOOT_KEY,
        seen=(run.sees("boot-key", (fused or b"").hex(), Grade.DECLARED),),
        done=fused == wanted,
        act=lambda: run.target.fuse_boot_key(run.package.boot_key),
        look=is_fused,
    )
    return "was fused" if fused else "fused"


async def lock_debug(run: Run, _options: Options) -> str:
    """Close the debug port for good, on a unit that runs the firmware that ships."""
    wanted = parse(run.package.firmware).image_hash
    running = [slot.hash for slot in await run.target.images() if slot.active]
    if running != [wanted]:
        raise run.fail("the unit does not run the production firmware", next_step="Load it before the lock")
    level = await run.target.debug_level()
    burnt = level

    async def act() -> None:
        nonlocal burnt
        burnt = await run.target.lock_debug()

    async def is_locked() -> bool:
        # The level takes hold at the next power cycle: until then the answer to the write is all there is to see.
        return DebugLevel.LOCKED in (burnt, await run.target.debug_level())

    await _do_once(
        run,
        Action.LOCK_DEBUG,
        seen=(
            run.sees("firmware", wanted.hex(), Grade.DECLARED),
            run.sees("debug", level.name.lower(), Grade.DECLARED),
        ),
        done=level is DebugLevel.LOCKED,
        act=act,
        look=is_locked,
    )
    return "was locked" if level is DebugLevel.LOCKED else "locked"


async def _do_once(
    run: Run,
    action: Action,
    *,
    seen: tuple[Observation, ...],
    done: bool,
    act: Callable[[], Awaitable[None]],
    look: Callable[[], Awaitable[bool]],
) -> None:
    await run.ask(
        PermitStep(
            lot=run.package.lot,
            hardware_id=run.hardware_id,
            fence=run.place.fence,
            action=action,
            observed=(run.sees("hardware-id", run.hardware_id, Grade.DECLARED), *seen),
        )
    )
    await run.same_unit()
    if done:
        return
    run.doubtful = True
    try:
        await act()
    except UnitRefused:
        run.doubtful = False
        raise
    except UnitSilent:
        run.report("no answer to the act; looking again")
    if not await _look_patiently(look):
        raise run.fail(f"no effect of {action} can be seen", next_step="Keep the board aside and look at it")
    run.doubtful = False


async def _look_patiently(look: Callable[[], Awaitable[bool]]) -> bool:
    for _ in range(_LOOKS - 1):
        try:
            return await look()
        except UnitSilent:
            continue
    return await look()
