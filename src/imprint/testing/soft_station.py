"""A station reduced to its questions: walks :class:`SoftUnit` through the life cycle against an authority."""

from itertools import count
from typing import TypeVar

from imprint.formats.mcuboot import parse
from imprint.protocol.answers import Answer, Certified, Challenged, Claimed, Completed, Permitted, Refused, Result
from imprint.protocol.evidence import Grade, Observation
from imprint.protocol.intentions import (
    Action,
    CertifyKey,
    ClaimUnit,
    CompleteUnit,
    Intention,
    KeyOrigin,
    PermitStep,
    TakeOverUnit,
)
from imprint.protocol.port import AuthorityPort, LotPackage
from imprint.testing.soft_unit import SoftUnit

T = TypeVar("T", bound=Result)
_TIME = "2026-01-01T00:00:00.000Z"


class RefusedHere(AssertionError):
    """The authority refused where a test expected more; ``code`` says why."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(f"{refused.code}: {refused.message}")
        self.code = refused.code


class SoftStation:
    """One station's questions, each with a fresh request ID."""

    def __init__(self, port: AuthorityPort, package: LotPackage, *, prefix: str = "soft") -> None:
        self.port = port
        self.package = package
        self._prefix = prefix
        self._ids = count()

    async def ask(self, intention: Intention) -> Answer:
        """Any question."""
        return await self.port.ask(f"{self._prefix}-{next(self._ids)}", intention)

    async def claim(self, unit: SoftUnit, *, run: str = "run", serial: str | None = None) -> Claimed:
        """Claim; raises :class:`RefusedHere`."""
        return expect(Claimed, await self.ask(self.claiming(unit, run=run, serial=serial)))

    async def take_over(self, unit: SoftUnit, *, run: str = "run") -> Claimed:
        """Claim a unit that is certified elsewhere, and have it prove itself."""
        claim = f"{self._prefix}-{next(self._ids)}"
        challenged = expect(Challenged, await self.port.ask(claim, self.claiming(unit, run=run)))
        return expect(Claimed, await self.ask(self.taking_over(unit, claim, challenged.challenge)))

    async def certify(self, unit: SoftUnit, fence: int) -> Certified:
        """Certify the unit's key."""
        return expect(Certified, await self.ask(self.certifying(unit, fence)))

    async def permit(self, unit: SoftUnit, fence: int, action: Action = Action.LOCK_DEBUG) -> Permitted:
        """Ask for a permit, having seen what should be seen."""
        return expect(Permitted, await self.ask(self.permitting(unit, fence, action)))

    async def complete(self, unit: SoftUnit, fence: int, challenge: bytes) -> Completed:
        """Bring the evidence."""
        return expect(Completed, await self.ask(self.completing(unit, fence, challenge)))

    async def imprint(self, unit: SoftUnit, *, run: str = "run", serial: str | None = None) -> Completed:
        """The whole way."""
        claimed = await self.claim(unit, run=run, serial=serial)
        certified = await self.certify(unit, claimed.fence)
        self.load(unit, certified.certificate)
        permitted = await self.permit(unit, claimed.fence)
        return await self.complete(unit, claimed.fence, permitted.challenge)

    def claiming(self, unit: SoftUnit, *, run: str = "run", serial: str | None = None) -> ClaimUnit:
        """The intention to claim."""
        hardware_id = unit.hardware_id.hex()
        return ClaimUnit(lot=self.package.lot, run=run, hardware_id=hardware_id, scanned_serial=serial)

    def taking_over(self, unit: SoftUnit, claim: str, challenge: bytes) -> TakeOverUnit:
        """The intention to take over, with the unit's statement over the challenge of this claim."""
        statement, signature = unit.prove(challenge)
        hardware_id = unit.hardware_id.hex()
        return TakeOverUnit(
            lot=self.package.lot, hardware_id=hardware_id, claim=claim, statement=statement, signature=signature
        )

    def certifying(self, unit: SoftUnit, fence: int) -> CertifyKey:
        """The intention to certify the unit's key."""
        origin = KeyOrigin(self.package.key_origin)
        hardware_id = unit.hardware_id.hex()
        return CertifyKey(lot=self.package.lot, hardware_id=hardware_id, fence=fence, origin=origin, csr=unit.csr())

    def permitting(self, unit: SoftUnit, fence: int, action: Action = Action.LOCK_DEBUG) -> PermitStep:
        """The intention to act, after seeing what should be seen."""
        seen = {"hardware-id": unit.hardware_id.hex(), "firmware": parse(self.package.firmware).image_hash.hex()}
        return PermitStep(
            lot=self.package.lot,
            hardware_id=unit.hardware_id.hex(),
            fence=fence,
            action=action,
            observed=observations(seen),
        )

    def completing(self, unit: SoftUnit, fence: int, challenge: bytes) -> CompleteUnit:
        """The intention to complete, with the unit's statement over the challenge."""
        statement, signature = unit.prove(challenge)
        return CompleteUnit(
            lot=self.package.lot,
            hardware_id=unit.hardware_id.hex(),
            fence=fence,
            statement=statement,
            signature=signature,
            observed=observations({"debug": "locked", "self-test": "passed"}),
            measurements=(),
        )

    def load(self, unit: SoftUnit, certificate: bytes) -> None:
        """Write certificate and firmware into the unit."""
        image = parse(self.package.firmware)
        unit.run(
            certificate=certificate,
            image_hash=image.image_hash,
            version=str(image.version),
            security=image.security_counter or 0,
            boot_key=self.package.boot_key,
        )


def observations(seen: dict[str, str]) -> tuple[Observation, ...]:
    """Things that a station says it saw."""
    return tuple(
        Observation(claim=claim, value=value, grade=Grade.STATION_OBSERVED, time=_TIME) for claim, value in seen.items()
    )


def expect(kind: type[T], answer: Answer) -> T:
    """The result, if it is of this kind; :class:`RefusedHere` for a refusal."""
    if isinstance(answer.result, Refused):
        raise RefusedHere(answer.result)
    if not isinstance(answer.result, kind):
        raise AssertionError(f"{answer.result.kind} where {kind.__name__} was expected")
    return answer.result
