"""What people read: JSON objects from the store's rows, the same on this machine and over the network."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.transaction import Reading
from imprint.authority.issuance.crl import last_crl
from imprint.authority.production.catalogue import Catalogue
from imprint.authority.production.life_cycle import State
from imprint.authority.production.reconciliation import lot_summary
from imprint.authority.production.revocation import find_revocation
from imprint.clock import to_text
from imprint.errors import RefusedError
from imprint.formats.crl import open_crl
from imprint.protocol.person_port import View
from imprint.protocol.refusals import Code

_RELEASE: Final = ("product", "role", "version", "security_counter", "image_hash")
_ACCOUNT: Final = ("name", "role", "state", "valid_until", "code_until")
_UNIT: Final = ("serial", "hardware_id", "lot", "state", "contested", "station")
_OPEN_QUESTION: Final = ("serial", "hardware_id", "state", "station", "contested")
_HIDDEN: Final = frozenset({"challenge", "live", "unit_values"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a view is made from; ``ca`` gives the device CA's certificate, DER."""

    store: Reading
    catalogue: Catalogue
    ca: Callable[[], bytes]


def _lots(at: Sources) -> dict[str, Any]:
    return {"lots": [lot_summary(row) for row in at.store.find("lots")]}


def _lot(at: Sources, lot: str) -> dict[str, Any]:
    """Its sum, and what it pins."""
    row = find_lot(at.store, lot)
    pinned = {
        "refunds_at_most": row["refunds_at_most"],
        "recipe": {"name": row["recipe_name"], "sha256": row["recipe"]},
        "profile_sha256": row["profile"],
    }
    images = {name: _pinned_release(at.store, row, name) for name in ("firmware", "diagnostic")}
    return {**lot_summary(row), **pinned, **images}


def _pinned_release(store: Reading, lot: Row, name: str) -> dict[str, str] | None:
    if lot[name] is None:
        return None
    role = "production" if name == "firmware" else name
    (release,) = store.find("releases", product=lot["product"], role=role, image=lot[name])
    return {"version": release["version"], "sha256": release["image"]}


def _report(at: Sources, lot: str) -> dict[str, Any]:
    """The sum, and the units that need somebody's attention."""
    row = find_lot(at.store, lot)
    ended = {revocation["number"] for revocation in at.store.find("revocations")}
    open_questions = [
        {**_pick(unit, _OPEN_QUESTION), "revoked": unit["number"] in ended}
        for unit in at.store.find("units", lot=lot)
        if unit["state"] != State.SUPERSEDED
        and (unit["state"] != State.COMPLETE or unit["contested"] or unit["number"] in ended)
    ]
    return {**lot_summary(row), "not_simply_shipped": open_questions, "signed": row["reconciliation"] is not None}


def _lot_units(at: Sources, lot: str) -> dict[str, Any]:
    return {"units": [brief_unit(row) for row in at.store.find("units", lot=lot)]}


def _unit(at: Sources, name: str) -> dict[str, Any]:
    """All epochs, the newest last; all that is stored of each."""
    rows = at.store.find("units", hardware_id=name) or at.store.find("units", serial=name)
    if not rows:
        raise RefusedError(
            f"no unit has serial number or hardware ID {name}",
            code=Code.UNKNOWN_UNIT,
            next_step="See 'imprint unit list'",
        )
    return {"units": [_epoch(at.store, row) for row in sorted(rows, key=lambda row: int(row["epoch"]))]}


def _epoch(store: Reading, row: Row) -> dict[str, Any]:
    stored = _pick(row, tuple(name for name in row if name not in _HIDDEN))
    end = find_revocation(store, row)
    revoked = {"time": end["revoked"], "reason": end["reason"], "note": end["note"]} if end else None
    return {**stored, "revoked": revoked, "values": json.loads(row["unit_values"])}


def _products(at: Sources) -> dict[str, Any]:
    names = [row["product"] for row in at.store.find("products")]
    described = {name: at.catalogue.product(at.store, name).file.description for name in names}
    return {"products": [{"product": name, "description": text} for name, text in described.items()]}


def _product(at: Sources, product: str) -> dict[str, Any]:
    """Its profile, its least grades, and how much is left in its pools."""
    if at.store.get("products", product=product) is None:
        raise RefusedError(
            f"there is no product {product}", code=Code.UNKNOWN_PRODUCT, next_step="See 'imprint product list'"
        )
    found = at.catalogue.product(at.store, product)
    pools = [
        {"pool": row["pool"], "kind": row["kind"], "given": row["next"], "left": row["size"] - row["next"]}
        for row in at.store.find("pools", product=product)
    ]
    grades = {claim: grade.value for claim, grade in sorted(found.least_grades().items())}
    return {"product": product, "identity": found.file.identity, "least_grades": grades, "pools": pools}


def _releases(at: Sources) -> dict[str, Any]:
    return {"releases": [_pick(row, _RELEASE) for row in at.store.find("releases")]}


def _revoked(at: Sources) -> dict[str, Any]:
    """The last list, with the units whose certificates are on it."""
    row = find_crl(at.store)
    summary = _pick(row, ("number", "this_update", "next_update", "revoked"))
    since = len(at.store.find("revocations")) - row["revoked"]
    listed = []
    for one in open_crl(at.store.blob(row["crl"]), at.ca()).revoked:
        number = f"{one.number:x}"
        certificate = at.store.get("certificates", number=number)
        # One that was revoked in a time that was lost may be of a unit that nobody knows any more.
        unit = certificate and at.store.get("units", hardware_id=certificate["hardware_id"], epoch=certificate["epoch"])
        serial = unit["serial"] if unit else None
        listed.append({"serial": serial, "number": number, "revoked": to_text(one.time), "reason": one.reason.value})
    return {**summary, "revoked_since": since, "certificates": listed}


def _accounts(at: Sources) -> dict[str, Any]:
    return {"accounts": [_pick(row, _ACCOUNT) for row in at.store.find("accounts")]}


LOOKS: Final[Mapping[View, Callable[..., dict[str, Any]]]] = MappingProxyType(
    {
        View.LOTS: _lots,
        View.LOT: _lot,
        View.REPORT: _report,
        View.LOT_UNITS: _lot_units,
        View.UNIT: _unit,
        View.PRODUCTS: _products,
        View.PRODUCT: _product,
        View.RELEASES: _releases,
        View.REVOKED: _revoked,
        View.ACCOUNTS: _accounts,
    }
)


def find_lot(store: Reading, lot: str) -> Row:
    """The lot's row. Raises :class:`RefusedError`."""
    row = store.get("lots", lot=lot)
    if row is None:
        raise RefusedError(f"there is no lot {lot}", code=Code.UNKNOWN_LOT, next_step="See 'imprint lot list'")
    return row


def find_crl(store: Reading) -> Row:
    """The newest list's row. Raises :class:`RefusedError` before the first."""
    row = last_crl(store)
    if row is None:
        raise RefusedError(
            "there is no revocation list yet", code=Code.WRONG_STATE, next_step="Make one: 'imprint crl sign'"
        )
    return row


def brief_unit(row: Row) -> dict[str, Any]:
    """A unit as a line in a list."""
    return _pick(row, _UNIT)


def _pick(row: Row, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: bool(row[name]) if name == "contested" else row[name] for name in names}
