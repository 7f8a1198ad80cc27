"""The unit's place: who is it, and does the lot have room for it?"""

from typing import Final

from imprint.errors import UnitRefused
from imprint.protocol.answers import Challenged
from imprint.protocol.evidence import Grade
from imprint.protocol.intentions import ClaimUnit, TakeOverUnit
from imprint.station.run import Run
from imprint.station.steps.step import Options
from imprint.station.targets.target import Proof

_TAKE_OVER: Final = "take-over"


async def identify(run: Run, _options: Options) -> str:
    """Note who is in the fixture."""
    identity = await run.same_unit()
    run.observe("hardware-id", identity.hardware_id, Grade.DECLARED)
    return f"{identity.part}, {identity.mode.name.lower()}"


async def claim(run: Run, _options: Options) -> str:
    """Ask for a place in the lot, a serial number and values. A unit that another run has had certified is taken over:
    it says itself that it is here."""
    result = await run.ask(
        ClaimUnit(
            lot=run.package.lot,
            run=run.asker.run,
            hardware_id=run.hardware_id,
            scanned_serial=run.fixture.scanned_serial,
        )
    )
    if not isinstance(result, Challenged):
        return f"serial {run.place.serial}"
    proof = await _prove(run, result.challenge)
    await run.ask(
        TakeOverUnit(
            lot=run.package.lot,
            hardware_id=run.hardware_id,
            claim=run.asker.request_id(run.step),
            statement=proof.statement,
            signature=proof.signature,
        ),
        step=_TAKE_OVER,
    )
    return f"serial {run.place.serial}, taken over"


async def _prove(run: Run, challenge: bytes) -> Proof:
    """A board that refuses to sign, having no key, is reported as just that: the authority must learn of it."""
    try:
        return await run.target.prove(challenge)
    except UnitRefused:
        return Proof(statement=b"", signature=b"")
