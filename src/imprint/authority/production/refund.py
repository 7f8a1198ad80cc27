"""Refunds: an owner gives places back to a lot for units that are scrapped."""

from imprint.authority.decisions.outcome import Event, Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.catalogue import Catalogue
from imprint.authority.production.entries import LOT_REFUNDED
from imprint.protocol.answers import Done
from imprint.protocol.commands import RefundUnits
from imprint.protocol.refusals import Code


class RefundRule:
    """Decides :class:`RefundUnits`.

    A scrapped unit stays scrapped, and its certificate, if it had one, is revoked. So it is enough to count: never more
    refunds than scrapped units is never two for one.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __call__(self, moment: Moment, store: Reading, command: RefundUnits) -> Outcome:
        """Refuses a count below 1, more than the lot's cap, more than is scrapped, and a lot unknown or closed."""
        lot = self._catalogue.open_lot(store, command.lot).row
        if command.count < 1:
            raise Refusal(Code.BAD_REQUEST, f"{command.count} places cannot be given back")
        after = lot["refunded"] + command.count
        if after > lot["refunds_at_most"]:
            raise Refusal(
                Code.REFUNDS_USED_UP,
                f"lot {lot['lot']} may have {lot['refunds_at_most']} places refunded, and {lot['refunded']} are",
                next_step="The cap was pinned when the lot was created; for more units, create another lot",
            )
        if after > lot["scrapped"]:
            raise Refusal(
                Code.NOT_SCRAPPED,
                f"lot {lot['lot']} has {lot['scrapped']} scrapped units, and {lot['refunded']} are refunded already",
                next_step="Scrap the unit first: 'imprint unit scrap'",
            )
        private = {"lot": lot["lot"], "count": command.count, "reason": command.reason}
        return Outcome((Event(LOT_REFUNDED, private),), Done(state="refunded"))
