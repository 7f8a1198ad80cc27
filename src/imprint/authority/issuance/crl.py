"""Signing the list of all that is revoked: a decision like any other, logged before the list leaves."""

from datetime import timedelta
from typing import Final

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.outcome import Event, Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.issuance.entries import CRL_SIGNED
from imprint.authority.issuance.issuer import DeviceCa
from imprint.clock import from_text, to_text
from imprint.encoding import sha256_hex
from imprint.formats.crl import Reason, Revoked
from imprint.protocol.answers import Done
from imprint.protocol.commands import SignCrl
from imprint.protocol.refusals import Code

MOST_DAYS: Final = 366


class SignCrlRule:
    """Decides :class:`SignCrl`. Numbers grow by one from 1, also when nothing was revoked since the last list."""

    def __init__(self, ca: DeviceCa) -> None:
        self._ca = ca

    def __call__(self, moment: Moment, store: Reading, command: SignCrl) -> Outcome:
        """Refuses a number of days out of 1 to 366."""
        if not 1 <= command.days <= MOST_DAYS:
            raise Refusal(Code.BAD_REQUEST, f"a list holds for 1 to {MOST_DAYS} days, not {command.days}")
        last = last_crl(store)
        number = last["number"] + 1 if last is not None else 1
        this_update = moment.now.replace(microsecond=0)
        next_update = this_update + timedelta(days=command.days)
        revoked = [
            Revoked(number=int(row["number"], 16), time=from_text(row["revoked"]), reason=Reason(row["reason"]))
            for row in store.find("revocations")
        ]
        crl = self._ca.sign_crl(number=number, this_update=this_update, next_update=next_update, revoked=revoked)
        public = {
            "number": number,
            "crl": sha256_hex(crl),
            "this_update": to_text(this_update),
            "next_update": to_text(next_update),
        }
        event = Event(CRL_SIGNED, {"revoked": len(revoked)}, public=public, blobs=(crl,))
        return Outcome((event,), Done(state="signed"))


def last_crl(store: Reading) -> Row | None:
    """The newest list's row, or None before the first."""
    rows = store.find("crls")
    return rows[-1] if rows else None
