"""The unit that an owner names by its serial number. What every rule of owners about a unit begins with."""

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.outcome import Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.life_cycle import Move, State, next_state
from imprint.protocol.refusals import Code


def find_unit(store: Reading, serial: str) -> Row:
    """The newest epoch of the unit with this serial number; a refusal when there is none."""
    rows = store.find("units", serial=serial)
    if not rows:
        raise Refusal(Code.UNKNOWN_UNIT, f"no unit has serial number {serial}", next_step="See 'imprint unit list'")
    return max(rows, key=lambda row: int(row["epoch"]))


def move(unit: Row, wanted: Move) -> State:
    """Where the move leads; a refusal when the table has no such row."""
    after = next_state(State(unit["state"]), wanted)
    if after is None:
        raise Refusal(Code.WRONG_STATE, f"unit {unit['serial']} is {unit['state']}, so it cannot {wanted}")
    return after


def named(unit: Row) -> dict[str, object]:
    """The fields that name the unit in an entry."""
    return {name: unit[name] for name in ("hardware_id", "epoch", "lot")}


def moved(unit: Row, after: State) -> dict[str, object]:
    """The same, with the two ends of its move."""
    return {**named(unit), "before": unit["state"], "after": after.value}


def refuse_closed(store: Reading, unit: Row) -> None:
    """The signed sum of a closed lot does not change any more."""
    if store.get("lots", lot=unit["lot"], state="open") is None:
        raise Refusal(
            Code.LOT_CLOSED,
            f"lot {unit['lot']} is closed, and its sum is signed",
            next_step=f"Its certificate can still be revoked: 'imprint unit revoke {unit['serial']}'"
            if unit["certificate"] is not None
            else "What becomes of the unit now is for the records of whoever has it",
        )
