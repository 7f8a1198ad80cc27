"""Revoking: a certificate is dead from now on, whatever becomes of the unit.

A revocation is a row of its own that never changes. The units' states and the lot's counts know nothing of it, so a
unit of a closed lot can be revoked as well.
"""

from typing import Any

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.outcome import Event, Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.entries import UNIT_REVOKED, UNIT_SCRAPPED
from imprint.authority.production.life_cycle import Move
from imprint.authority.production.named_unit import find_unit, move, moved, named, refuse_closed
from imprint.formats.crl import Reason
from imprint.protocol.answers import Done
from imprint.protocol.commands import RevokeUnit, ScrapUnit
from imprint.protocol.refusals import Code


class RevokeRule:
    """Decides :class:`RevokeUnit`."""

    def __call__(self, moment: Moment, store: Reading, command: RevokeUnit) -> Outcome:
        """Refuses a unit that does not exist, that has no certificate, or whose certificate is revoked."""
        unit = find_unit(store, command.serial)
        if unit["certificate"] is None:
            raise Refusal(Code.WRONG_STATE, f"unit {unit['serial']} is {unit['state']} and has no certificate")
        known = find_revocation(store, unit)
        if known is not None:
            raise Refusal(
                Code.REVOKED,
                f"the certificate of unit {unit['serial']} was revoked at {known['revoked']} ({known['reason']})",
                next_step="A revocation is for good; 'imprint crl sign' tells those who check",
            )
        private = {**named(unit), "revoked": revoked(unit, command.reason, command.note)}
        return Outcome((Event(UNIT_REVOKED, private, public=told(unit)),), Done(state="revoked"))


class ScrapRule:
    """Decides :class:`ScrapUnit`: revoked first, in the same entry; the count stays used."""

    def __call__(self, moment: Moment, store: Reading, command: ScrapUnit) -> Outcome:
        """Refuses a unit that does not exist, that may still be released, or whose lot is closed."""
        unit = find_unit(store, command.serial)
        refuse_closed(store, unit)
        after = move(unit, Move.SCRAP)
        private = {**moved(unit, after), "revoked": None, "reason": command.reason}
        if not is_certified(store, unit):
            return Outcome((Event(UNIT_SCRAPPED, private),), Done(state=after))
        private["revoked"] = revoked(unit, Reason.CESSATION_OF_OPERATION, command.reason)
        return Outcome((Event(UNIT_SCRAPPED, private, public=told(unit)),), Done(state=after))


def find_revocation(store: Reading, unit: Row) -> Row | None:
    """The revocation of the unit's certificate, or None while it has none, or none that is revoked."""
    return store.get("revocations", number=unit["number"])


def is_certified(store: Reading, unit: Row) -> bool:
    """Whether the unit has a certificate that is not revoked."""
    return unit["certificate"] is not None and find_revocation(store, unit) is None


def revoked(unit: Row, reason: Reason, note: str) -> dict[str, Any]:
    """The certificate's end, as it stands in an entry: ``reason`` for the CRL, ``note`` for people."""
    return {"number": unit["number"], "reason": reason.value, "note": note}


def told(unit: Row) -> dict[str, Any]:
    """The hash of a certificate cannot be guessed: whoever holds the certificate, and only they, learn of its end."""
    return {"certificate": unit["certificate"]}
