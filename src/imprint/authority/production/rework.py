"""Rework: a unit starts again as the next epoch of the same hardware, in the place that it has."""

from typing import Any

from imprint.authority.decisions.outcome import Event, Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.claim import CHALLENGE_SIZE, fresh_certificate
from imprint.authority.production.entries import UNIT_REWORKED
from imprint.authority.production.life_cycle import Move, State
from imprint.authority.production.named_unit import find_unit, move, moved, refuse_closed
from imprint.authority.production.revocation import is_certified, revoked, told
from imprint.formats.crl import Reason
from imprint.protocol.answers import Done
from imprint.protocol.commands import ReworkUnit
from imprint.protocol.refusals import Code


class ReworkRule:
    """Decides :class:`ReworkUnit`: revoked first, in the same entry."""

    def __call__(self, moment: Moment, store: Reading, command: ReworkUnit) -> Outcome:
        """Refuses a unit that is unknown, contested, in work or without a certificate, and one of a closed lot."""
        unit = find_unit(store, command.serial)
        refuse_closed(store, unit)
        after = move(unit, Move.REWORK)
        if unit["certificate"] is None:
            raise Refusal(
                Code.WRONG_STATE,
                f"unit {unit['serial']} has no certificate, so there is nothing to start again from",
                next_step=f"Free it: 'imprint unit clear {unit['serial']}'",
            )
        if unit["contested"]:
            raise Refusal(
                Code.CONTESTED,
                f"unit {unit['serial']} is contested: whichever board came first would become the unit",
                next_step="Find the original, then clear it: 'imprint unit verify', 'imprint unit clear'",
            )
        begun = {
            "fence": unit["fence"] + 1,
            "challenge": moment.random(CHALLENGE_SIZE).hex(),
            **fresh_certificate(moment),
        }
        names = ("product", "serial", "unit_values")
        private: dict[str, Any] = {
            **moved(unit, after),
            **{name: unit[name] for name in names},
            "next": begun,
            "revoked": None,
            "reason": command.reason,
        }
        if not is_certified(store, unit):
            return Outcome((Event(UNIT_REWORKED, private),), Done(state=State.REWORK))
        private["revoked"] = revoked(unit, Reason.SUPERSEDED, command.reason)
        return Outcome((Event(UNIT_REWORKED, private, public=told(unit)),), Done(state=State.REWORK))
