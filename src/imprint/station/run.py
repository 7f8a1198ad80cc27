"""One attempt of one unit at a recipe: what the steps work with."""

from collections.abc import Callable
from typing import Final

from imprint.clock import Clock, to_text
from imprint.errors import RefusedError, UnitFailed
from imprint.protocol.answers import Certified, Claimed, Permitted, Refused, Result
from imprint.protocol.codec import decode_answer
from imprint.protocol.evidence import Grade, Measurement, Observation
from imprint.protocol.intentions import Intention
from imprint.protocol.port import LotPackage
from imprint.station.asker import Asker
from imprint.station.fixture import Fixture
from imprint.station.run_history import OpenRun
from imprint.station.targets.target import DebugProbe, Identity, PowerSwitch, Target

_WITH_CERTIFICATE: Final = frozenset({"certified", "permitted"})  # states of a unit in work


class Run:
    """The unit, the bench around it, the authority, and what is known so far.

    ``steps`` are the names of the steps in the recipe; ``step`` names the step at work. ``doubtful`` is true while an
    irreversible act has an unknown outcome.
    """

    def __init__(
        self,
        *,
        hardware_id: str,
        package: LotPackage,
        steps: frozenset[str],
        fixture: Fixture,
        target: Target,
        power: PowerSwitch | None,
        probe: DebugProbe | None,
        asker: Asker,
        clock: Clock,
        report: Callable[[str], None],
    ) -> None:
        self.hardware_id: Final = hardware_id
        self.package: Final = package
        self.steps: Final = steps
        self.fixture: Final = fixture
        self.target: Final = target
        self.power: Final = power
        self.probe: Final = probe
        self.asker: Final = asker
        self.report: Final = report
        self._clock: Final = clock
        self.step = ""
        self.doubtful = False
        self.claimed: Claimed | None = None
        self.certified: Certified | None = None
        self.challenge = b""
        self._observed: dict[tuple[str, Grade], Observation] = {}
        self._measured: dict[tuple[str, str], Measurement] = {}

    def restore(self, history: OpenRun) -> None:
        """Take over what an earlier process of this run had learned."""
        for answer in history.answered.values():
            self._learn(decode_answer(answer.encode()).result)
        for step in history.passed:
            self._observed.update({(one.claim, one.grade): one for one in step.observed})
            self._measured.update({(one.step, one.name): one for one in step.measured})

    async def ask(self, intention: Intention, *, step: str = "") -> Result:
        """Ask the authority on behalf of the step at work; ``step`` names a second question of the same step. Raises
        :class:`RefusedError` for a refusal."""
        result = await self.asker.ask(step or self.step, intention)
        self._learn(result)
        if isinstance(result, Refused):
            raise RefusedError(result.message, code=result.code, subject=self.hardware_id, next_step=result.next_step)
        return result

    def _learn(self, result: Result) -> None:
        if isinstance(result, Claimed | Certified | Permitted):
            self.challenge = result.challenge
        if isinstance(result, Claimed):
            self.claimed = result
        elif isinstance(result, Certified):
            self.certified = result

    @property
    def place(self) -> Claimed:
        """The unit's place in the lot. A recipe claims before anything else needs it."""
        if self.claimed is None:
            raise AssertionError("a recipe claims first")
        return self.claimed

    @property
    def has_certificate(self) -> bool:
        """Whether the authority has given this unit a certificate, to this run or to an earlier one."""
        return self.certified is not None or (self.claimed is not None and self.claimed.state in _WITH_CERTIFICATE)

    @property
    def identity(self) -> Certified:
        """The unit's certificate. A recipe certifies before anything else needs it."""
        if self.certified is None:
            raise AssertionError("a recipe certifies first")
        return self.certified

    async def same_unit(self) -> Identity:
        """Who is in the fixture now. Raises :class:`UnitFailed` when it is another unit than the run's."""
        return self.check_same(await self.target.identify())

    def check_same(self, identity: Identity) -> Identity:
        """As :meth:`same_unit`, for an identity that was just read."""
        if identity.hardware_id != self.hardware_id:
            raise UnitFailed(
                f"another unit ({identity.hardware_id}) is in the fixture now",
                subject=self.hardware_id,
                next_step="Keep both boards aside: the first one is unfinished",
            )
        return identity

    async def restart(self) -> Identity:
        """Reset the unit; the same unit has to come back."""
        before = await self.same_unit()
        await self.target.reset()
        return self.check_same(await self.target.await_boot(before.boots))

    def fail(self, what: str, *, next_step: str = "") -> UnitFailed:
        """An error about this unit, to raise."""
        return UnitFailed(what, subject=self.hardware_id, next_step=next_step)

    def sees(self, claim: str, value: str, grade: Grade) -> Observation:
        """An observation, made now."""
        return Observation(claim=claim, value=value, grade=grade, time=to_text(self._clock()))

    def observe(self, claim: str, value: str, grade: Grade) -> None:
        """Note an observation for the record; a later one of the same claim and grade takes its place."""
        self._observed[(claim, grade)] = self.sees(claim, value, grade)

    def measure(self, measurement: Measurement) -> None:
        """Note a measurement for the record."""
        self._measured[(measurement.step, measurement.name)] = measurement

    @property
    def observed(self) -> tuple[Observation, ...]:
        """All observations for the record."""
        return tuple(self._observed.values())

    @property
    def measured(self) -> tuple[Measurement, ...]:
        """All measurements for the record."""
        return tuple(self._measured.values())
