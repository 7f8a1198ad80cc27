"""What the entries of a reconciled ledger change. Pure: the same functions decide and replay."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from imprint.authority.access.account import AccountState
from imprint.authority.decisions.changes import Change, ChangesOf, Insert, Update
from imprint.authority.ledger.envelope import OpenedEntry
from imprint.authority.production.life_cycle import State, count_change

LEDGER_RECONCILED: Final = "ledger.reconciled"
UNIT_RECOVERED: Final = "unit.recovered"


def _ledger_reconciled(entry: OpenedEntry) -> list[Change]:
    """Whatever may have been given in the lost time is out of reach from here on."""
    fields = entry.private
    suspended = {"state": AccountState.SUSPENDED.value, "code": None, "code_until": None}
    return [
        *(Update("accounts", {"name": name}, set=suspended) for name in fields["accounts"]),
        *(
            Update(
                "pools",
                {"product": one["product"], "pool": one["pool"]},
                set={"next": one["next"]},
                expect={"next": one["before"]},
            )
            for one in fields["pools"]
        ),
        *(
            Update(
                "lots",
                {"lot": one["lot"]},
                set={"granted": one["granted"], "allotted": one["allotted"], "last_leaf": entry.leaf},
                expect={"granted": one["before"], "state": "open"},
            )
            for one in fields["lots"]
        ),
        *(Insert("revocations", row) for row in fields["revocations"]),
    ]


def _unit_recovered(entry: OpenedEntry) -> list[Change]:
    """One epoch of a unit becomes what it was in the lost time, and counts as that."""
    fields = entry.private
    key = {"hardware_id": fields["hardware_id"], "epoch": fields["epoch"]}
    columns = {**fields["unit"], **dict.fromkeys(fields["leaves"], entry.leaf)}
    before = fields["before"]
    unit = Insert("units", {**key, **columns}) if before is None else Update("units", key, set=columns, expect=before)
    return [unit, *_counted(entry), *_kept(entry)]


def _counted(entry: OpenedEntry) -> list[Change]:
    before, after = entry.private["before"], entry.private["unit"]
    new = State(after["state"])
    if before is None or before["lot"] == after["lot"]:
        old = State(before["state"]) if before is not None else None
        return _count(entry, after["lot"], count_change(old, new))
    left = _count(entry, before["lot"], count_change(State(before["state"]), State.RELEASED))
    return [*left, *_count(entry, after["lot"], count_change(None, new))]


def _count(entry: OpenedEntry, lot: str, change: Mapping[str, int]) -> list[Change]:
    return [Update("lots", {"lot": lot}, set={"last_leaf": entry.leaf}, add=change)] if change else []


def _kept(entry: OpenedEntry) -> list[Change]:
    """What stays given for good, whatever becomes of the unit."""
    fields = entry.private
    changes: list[Change] = [Insert("given_values", row) for row in fields["given"]]
    for table, name in (
        ("assignments", "assignment"),
        ("certificates", "certificate"),
        ("public_keys", "public_key"),
    ):
        if fields[name] is not None:
            changes.append(Insert(table, fields[name]))
    if fields["revoked"] is not None:
        changes.append(Insert("revocations", {**fields["revoked"], "revoked": entry.time}))
    if fields["allotted"] is not None:
        changes.append(Update("lots", {"lot": fields["allotted"]}, add={"allotted": 1}))
    return changes


CHANGES: Final[Mapping[str, ChangesOf]] = MappingProxyType(
    {LEDGER_RECONCILED: _ledger_reconciled, UNIT_RECOVERED: _unit_recovered}
)


def no_rows() -> dict[str, Any]:
    """The fields of ``unit.recovered`` that say what stays given, for a unit about which there is nothing new."""
    return {**dict.fromkeys(("assignment", "certificate", "public_key", "revoked", "allotted")), "given": []}
