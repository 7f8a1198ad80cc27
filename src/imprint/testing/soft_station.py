"""A station reduced to its questions: walks :class:`SoftUnit` through the life cycle against an authority."""

from itertools import count
from typing import TypeVar

from imprint.formats.mcuboot import parse
from imprint.protocol.answers import Answer, Certified, Claimed, Completed, Permitted, Refused, Result
from imprint.protocol.evidence import Grade, Observation
from imprint.protocol.intentions import Action, CertifyKey, ClaimUnit, CompleteUnit, Intention, KeyOrigin, PermitStep
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
        intention = ClaimUnit(lot=self.package.lot, run=run, hardware_id=unit.hardware_id.hex(), scanned_serial=serial)
        return _expect(Claimed, await self.ask(intention))

    async def certify(self, unit: SoftUnit, fence: int) -> Certified:
        """Certify the unit's key."""
        intention = CertifyKey(
            lot=self.package.lot,
            hardware_id=unit.hardware_id.hex(),
            fence=fence,
            origin=KeyOrigin(self.package.key_origin),
            csr=unit.csr(),
        )
        return _expect(Certified, await self.ask(intention))

    async def permit(self, unit: SoftUnit, fence: int, action: Action = Action.LOCK_DEBUG) -> Permitted:
        """Ask for a permit, having seen what should be seen."""
        seen = {"hardware-id": unit.hardware_id.hex(), "firmware": parse(self.package.firmware).image_hash.hex()}
        intention = PermitStep(
            lot=self.package.lot,
            hardware_id=unit.hardware_id.hex(),
            fence=fence,
            action=action,
            observed=observations(seen),
        )
        return _expect(Permitted, await self.ask(intention))

    async def complete(self, unit: SoftUnit, fence: int, challenge: bytes) -> Completed:
        """Bring the evidence."""
        statement, signature = unit.prove(challenge)
        intention = CompleteUnit(
            lot=self.package.lot,
            hardware_id=unit.hardware_id.hex(),
            fence=fence,
            statement=statement,
            signature=signature,
            observed=observations({"debug": "locked", "self-test": "passed"}),
            measurements=(),
        )
        return _expect(Completed, await self.ask(intention))

    async def imprint(self, unit: SoftUnit, *, run: str = "run", serial: str | None = None) -> Completed:
        """The whole way."""
        claimed = await self.claim(unit, run=run, serial=serial)
        certified = await self.certify(unit, claimed.fence)
        self.load(unit, certified.certificate)
        permitted = await self.permit(unit, claimed.fence)
        return await self.complete(unit, claimed.fence, permitted.challenge)

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


def _expect(kind: type[T], answer: Answer) -> T:
    if isinstance(answer.result, Refused):
        raise RefusedHere(answer.result)
    if not isinstance(answer.result, kind):
        raise AssertionError(f"{answer.result.kind} where {kind.__name__} was expected")
    return answer.result
