"""Permits for irreversible steps, and the two ways out of a run that failed."""

from imprint.authority.decisions.outcome import Event, Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.catalogue import Catalogue
from imprint.authority.production.claim import CHALLENGE_SIZE
from imprint.authority.production.entries import UNIT_PERMITTED, UNIT_QUARANTINED, UNIT_RELEASED
from imprint.authority.production.evidence import observed_fields
from imprint.authority.production.held_unit import HeldUnit, hold
from imprint.authority.production.life_cycle import Move, State
from imprint.protocol.answers import Done, Permitted
from imprint.protocol.intentions import Action, PermitStep, QuarantineUnit, ReleaseUnit
from imprint.protocol.refusals import Code

_MOVES = {Action.FUSE_BOOT_KEY: Move.FUSE, Action.LOCK_DEBUG: Move.LOCK}
MAX_REASON = 300


class PermitRule:
    """Decides :class:`PermitStep`: the last look before something that cannot be undone."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __call__(self, moment: Moment, store: Reading, request: PermitStep) -> Outcome:
        """Refuses with evidence-contradicts when what was observed is not what the lot pins, and as :func:`hold`."""
        unit = hold(self._catalogue, moment, store, request, _MOVES[request.action])
        for claim, wanted in _expected(unit, request.action).items():
            seen = {observation.value for observation in request.observed if observation.claim == claim}
            if seen != {wanted}:
                found = " and ".join(sorted(seen)) or "unseen"
                raise Refusal(
                    Code.EVIDENCE_CONTRADICTS,
                    f"before {request.action}, {claim} must be observed as {wanted}, not {found}",
                )
        challenge = moment.random(CHALLENGE_SIZE)
        private = {
            **unit.key(),
            "action": request.action.value,
            "observed": observed_fields(request.observed),
            "challenge": challenge.hex(),
        }
        result = Permitted(action=request.action, challenge=challenge)
        return Outcome((Event(UNIT_PERMITTED, private),), result)


def _expected(unit: HeldUnit, action: Action) -> dict[str, str]:
    """The unit is identified again before each irreversible step; a lock is for the firmware that ships."""
    expected = {"hardware-id": str(unit.row["hardware_id"])}
    if action is Action.LOCK_DEBUG:
        expected["firmware"] = unit.lot.firmware.image_hash.hex()
    return expected


class ReleaseRule:
    """Decides :class:`ReleaseUnit`: the place goes back, but only before a certificate was issued; in a later epoch it
    waits for the unit."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __call__(self, moment: Moment, store: Reading, request: ReleaseUnit) -> Outcome:
        """Refuses as :func:`hold` does; a unit with a certificate is wrong-state."""
        unit = hold(self._catalogue, moment, store, request, Move.RELEASE, giving_up=True)
        if unit.before not in (State.CLAIMED, State.REWORK):
            raise Refusal(
                Code.WRONG_STATE,
                f"unit {unit.row['serial']} is {unit.before}; only a security officer may free its place",
            )
        event = Event(UNIT_RELEASED, {**unit.key(), "reason": request.reason[:MAX_REASON]})
        return Outcome((event,), Done(state=unit.after))


class QuarantineRule:
    """Decides :class:`QuarantineUnit`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __call__(self, moment: Moment, store: Reading, request: QuarantineUnit) -> Outcome:
        """Refuses as :func:`hold` does. A contested unit may be quarantined."""
        unit = hold(self._catalogue, moment, store, request, Move.QUARANTINE, giving_up=True)
        event = Event(UNIT_QUARANTINED, {**unit.key(), "reason": request.reason[:MAX_REASON]})
        return Outcome((event,), Done(state=unit.after))
