"""The places of the lots, as units that were made in the lost time take theirs."""

from typing import Any

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.claim import most_allotted
from imprint.authority.production.life_cycle import COUNTED_AS, State

_COUNTS = ("in_work", "shipped", "scrapped", "quarantined")


class Places:
    """All lots with how many of their places are taken."""

    def __init__(self, store: Reading) -> None:
        self._lots = {row["lot"]: row for row in store.find("lots")}
        self._taken = {name: sum(row[count] for count in _COUNTS) for name, row in self._lots.items()}

    def open_lot(self, lot: str) -> Row | None:
        """The lot's row; None when it is unknown or closed."""
        row = self._lots.get(lot)
        return row if row is not None and row["state"] == "open" else None

    def has_room(self, lot: str, unit: Row | None) -> bool:
        """Whether an open lot has a place for one more, or ``unit`` has one already."""
        row = self.open_lot(lot)
        if row is None:
            return False
        has_one = unit is not None and unit["lot"] == lot and COUNTED_AS[State(unit["state"])] is not None
        return has_one or self._taken[lot] < row["granted"] + row["refunded"]

    def move(self, before: Row | None, after: Row) -> None:
        """A unit goes from one state, of one lot, to another."""
        for unit, change in ((before, -1), (after, 1)):
            if unit is not None and unit["lot"] in self._taken and COUNTED_AS[State(unit["state"])] is not None:
                self._taken[unit["lot"]] += change

    def withdrawn(self) -> list[dict[str, Any]]:
        """What an entry says of the open lots when none of them may take one unit more: all that they could have given
        counts as given."""
        lots = [row for row in self._lots.values() if row["state"] == "open"]
        shrunk = [(row, self._taken[row["lot"]] - row["refunded"]) for row in lots]
        return [
            {
                "lot": row["lot"],
                "before": row["granted"],
                "granted": granted,
                "allotted": max(row["allotted"], most_allotted(row["granted"] + row["refunded"])),
            }
            for row, granted in shrunk
            if granted != row["granted"]
        ]
