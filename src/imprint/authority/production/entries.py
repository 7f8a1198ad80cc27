"""What each entry of production changes. Pure: the same functions decide and replay.

``CHANGES`` maps an entry's type to its function. Row and column names are those of ``storage/tables.py``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from imprint.authority.decisions.changes import Change, ChangesOf, Insert, Update
from imprint.authority.decisions.outcome import REFUSED
from imprint.authority.ledger.envelope import Fields, OpenedEntry
from imprint.authority.production.life_cycle import LIVE, State, count_change
from imprint.encoding import canonical

PRODUCT_ADDED: Final = "product.added"
LOT_CREATED: Final = "lot.created"
LOT_REFUNDED: Final = "lot.refunded"
LOT_CLOSED: Final = "lot.closed"
UNIT_CLAIMED: Final = "unit.claimed"
UNIT_RECLAIMED: Final = "unit.reclaimed"
UNIT_CHALLENGED: Final = "unit.challenged"
UNIT_TAKEN_OVER: Final = "unit.taken-over"
UNIT_EXPIRED: Final = "unit.expired"
UNIT_CERTIFIED: Final = "unit.certified"
UNIT_CERTIFICATE_REPEATED: Final = "unit.certificate-repeated"
UNIT_PERMITTED: Final = "unit.permitted"
UNIT_COMPLETED: Final = "unit.completed"
UNIT_RELEASED: Final = "unit.released"
UNIT_QUARANTINED: Final = "unit.quarantined"
UNIT_CLEARED: Final = "unit.cleared"
UNIT_SCRAPPED: Final = "unit.scrapped"
UNIT_REVOKED: Final = "unit.revoked"
UNIT_REWORKED: Final = "unit.reworked"


def _product_added(entry: OpenedEntry) -> list[Change]:
    fields = entry.private
    product = {"product": fields["product"], "definition": fields["definition"]}
    pools = [
        Insert("pools", {"product": fields["product"], "next": 0, **pool, "spec": _text(pool["spec"])})
        for pool in fields["pools"]
    ]
    return [Insert("products", product), *pools]


def _lot_created(entry: OpenedEntry) -> list[Change]:
    names = (
        "lot",
        "product",
        "granted",
        "refunds_at_most",
        "recipe",
        "recipe_name",
        "profile",
        "firmware",
        "diagnostic",
    )
    counts = dict.fromkeys(("refunded", "in_work", "shipped", "scrapped", "quarantined", "allotted"), 0)
    row = {name: entry.private[name] for name in names}
    return [Insert("lots", {**row, **counts, "state": "open", "reconciliation": None, "last_leaf": entry.leaf})]


def _lot_refunded(entry: OpenedEntry) -> list[Change]:
    fields = entry.private
    given_back = {"refunded": fields["count"]}
    covered = {"last_leaf": entry.leaf}
    return [Update("lots", {"lot": fields["lot"]}, set=covered, add=given_back, expect={"state": "open"})]


def _lot_closed(entry: OpenedEntry) -> list[Change]:
    closed = {"state": "closed", "reconciliation": entry.private["reconciliation"]}
    return [Update("lots", {"lot": entry.private["lot"]}, set=closed, expect={"state": "open"})]


# What a unit does not have before its certificate.
_BLANK: Final = MappingProxyType(
    dict.fromkeys(("origin", "public_key", "certificate", "record", "certify_leaf", "complete_leaf"))
)


def _unit_claimed(entry: OpenedEntry) -> list[Change]:
    fields = entry.private
    names = ("lot", "product", "serial", "run", "fence", "lease_until", "challenge", "number", "not_before")
    row = {
        **{name: fields[name] for name in names},
        "unit_values": _text(fields["values"]),
        "station": entry.actor,
        "claim_leaf": entry.leaf,
        "state": State.CLAIMED.value,
        "live": 1,
    }
    key = {"hardware_id": fields["hardware_id"], "epoch": fields["epoch"]}
    unit: Change
    if fields["before"] is None:
        unit = Insert("units", {**key, **row, **_BLANK, "contested": 0})
    else:
        unit = Update("units", key, set=row, expect={"state": fields["before"], "fence": fields["fence"] - 1})
    before = State(fields["before"]) if fields["before"] else None
    return [unit, *_allotted(fields), *_counted(entry, before, State.CLAIMED)]


def _allotted(fields: Fields) -> list[Change]:
    """The values that a unit is given for the first time; each leaves its pool for good."""
    if not fields["first_time"]:
        return []
    product, hardware_id = fields["product"], fields["hardware_id"]
    given = [{"kind": "serial", "value": fields["serial"]}, *fields["given"]]
    assignment = {"serial": fields["serial"], "unit_values": _text(fields["values"])}
    return [
        Insert("assignments", {"product": product, "hardware_id": hardware_id, **assignment}),
        *(Insert("given_values", {**one, "product": product, "hardware_id": hardware_id}) for one in given),
        *(
            Update("pools", {"product": product, "pool": pool}, add={"next": taken - start}, expect={"next": start})
            for pool, (start, taken) in fields["drawn"].items()
        ),
        Update("lots", {"lot": fields["lot"]}, add={"allotted": 1}),
    ]


def _unit_reclaimed(entry: OpenedEntry) -> list[Change]:
    fields = entry.private
    moved = {name: fields[name] for name in ("run", "fence", "lease_until", "challenge")}
    expect = {"state": fields["state"], "fence": fields["fence"] - 1}
    return [Update("units", _key(fields), set={**moved, "station": entry.actor}, expect=expect)]


def _unit_challenged(_: OpenedEntry) -> list[Change]:
    """Whoever merely asks changes nothing: neither the unit nor the challenge of the station that holds it."""
    return []


def _unit_expired(entry: OpenedEntry) -> list[Change]:
    return _move(entry, State.RELEASED)


def _unit_certified(entry: OpenedEntry) -> list[Change]:
    fields = entry.private
    identity = {
        "origin": fields["origin"],
        "public_key": fields["public_key"],
        "certificate": fields["certificate"],
        "challenge": fields["challenge"],
        "certify_leaf": entry.leaf,
    }
    certificate = {
        "number": fields["number"],
        "certificate": fields["certificate"],
        "hardware_id": fields["hardware_id"],
        "epoch": fields["epoch"],
        "issued": entry.time,
    }
    key = {"public_key": fields["public_key"], "hardware_id": fields["hardware_id"]}
    return [
        *_move(entry, State.CERTIFIED, identity),
        Insert("certificates", certificate),
        *([] if fields["known_key"] else [Insert("public_keys", key)]),
    ]


def _new_challenge(entry: OpenedEntry) -> list[Change]:
    return [Update("units", _key(entry.private), set={"challenge": entry.private["challenge"]})]


def _unit_permitted(entry: OpenedEntry) -> list[Change]:
    return _move(entry, State(entry.private["after"]), {"challenge": entry.private["challenge"]})


def _unit_completed(entry: OpenedEntry) -> list[Change]:
    return _move(entry, State.COMPLETE, {"record": entry.public["record"], "complete_leaf": entry.leaf})


def _unit_released(entry: OpenedEntry) -> list[Change]:
    """In a later epoch nobody holds the unit any more, and its place waits for it."""
    after = State(entry.private["after"])
    return _move(entry, after, {"run": "", "station": ""} if after is State.REWORK else None)


def _unit_quarantined(entry: OpenedEntry) -> list[Change]:
    return _move(entry, State.QUARANTINED)


def _unit_cleared(entry: OpenedEntry) -> list[Change]:
    """Nobody holds the unit any more: whoever has it on a bench may claim it, and earlier requests are stale."""
    free = {"run": "", "station": "", "contested": 0, "fence": entry.private["fence"]}
    return _move(entry, State(entry.private["after"]), free)


def _unit_scrapped(entry: OpenedEntry) -> list[Change]:
    return [*_revoked(entry), *_move(entry, State.SCRAPPED)]


def _unit_reworked(entry: OpenedEntry) -> list[Change]:
    """One epoch ends and the next one takes its place over, so that the lot never has a place more or less."""
    fields, begun = entry.private, entry.private["next"]
    names = ("hardware_id", "lot", "product", "serial", "unit_values")
    free = {"station": "", "run": "", "contested": 0, "lease_until": entry.time}
    state = {"state": State.REWORK.value, "live": 1, "claim_leaf": entry.leaf}
    unit = {**{name: fields[name] for name in names}, **begun, **free, **state, **_BLANK}
    return [
        *_revoked(entry),
        *_move(entry, State.SUPERSEDED),
        Insert("units", {**unit, "epoch": fields["epoch"] + 1}),
        *_counted(entry, None, State.REWORK),
    ]


def _revoked(entry: OpenedEntry) -> list[Change]:
    """The end of a certificate, if the entry tells of one. A second end would meet the first one's row."""
    revoked = entry.private["revoked"]
    return [Insert("revocations", {**revoked, "revoked": entry.time})] if revoked is not None else []


def _refused(entry: OpenedEntry) -> list[Change]:
    contested = entry.private.get("contested")
    if contested is None:
        return []
    mark = Update("units", _key(contested), set={"contested": 1})
    # The signed sum names the contested units, so the checkpoint under it must cover the mark.
    return [mark, Update("lots", {"lot": contested["lot"]}, set={"last_leaf": entry.leaf})]


def _key(fields: Fields) -> dict[str, Any]:
    return {"hardware_id": fields["hardware_id"], "epoch": fields["epoch"]}


def _move(entry: OpenedEntry, after: State, also: Mapping[str, Any] | None = None) -> list[Change]:
    fields = entry.private
    before = State(fields["before"])
    columns = {"state": after.value, "live": int(after in LIVE), **(also or {})}
    unit = Update("units", _key(fields), set=columns, expect={"state": before.value})
    return [unit, *_counted(entry, before, after)]


def _counted(entry: OpenedEntry, before: State | None, after: State) -> list[Change]:
    """The lot's counts follow the unit; ``last_leaf`` is the entry that a checkpoint must cover to close the lot."""
    change = count_change(before, after)
    key = {"lot": entry.private["lot"]}
    return [Update("lots", key, set={"last_leaf": entry.leaf}, add=change)] if change else []


def _text(value: object) -> str:
    return canonical(value).decode()


CHANGES: Final[Mapping[str, ChangesOf]] = MappingProxyType(
    {
        PRODUCT_ADDED: _product_added,
        LOT_CREATED: _lot_created,
        LOT_REFUNDED: _lot_refunded,
        LOT_CLOSED: _lot_closed,
        UNIT_CLAIMED: _unit_claimed,
        UNIT_RECLAIMED: _unit_reclaimed,
        UNIT_CHALLENGED: _unit_challenged,
        UNIT_TAKEN_OVER: _unit_reclaimed,
        UNIT_EXPIRED: _unit_expired,
        UNIT_CERTIFIED: _unit_certified,
        UNIT_CERTIFICATE_REPEATED: _new_challenge,
        UNIT_PERMITTED: _unit_permitted,
        UNIT_COMPLETED: _unit_completed,
        UNIT_RELEASED: _unit_released,
        UNIT_QUARANTINED: _unit_quarantined,
        UNIT_CLEARED: _unit_cleared,
        UNIT_SCRAPPED: _unit_scrapped,
        UNIT_REVOKED: _revoked,
        UNIT_REWORKED: _unit_reworked,
        REFUSED: _refused,
    }
)
