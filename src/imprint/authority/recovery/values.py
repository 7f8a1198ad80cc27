"""Serial numbers, addresses and values that were given in the lost time: none of them is given again."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.catalogue import Catalogue
from imprint.authority.production.claim import most_allotted, value_kind
from imprint.authority.production.pools import Pool, has_value, value_at
from imprint.authority.production.product import ScannedSerials
from imprint.authority.recovery.lost_unit import LostClaim

_SERIAL: Final = "serial"  # the pool of the serial numbers that are not scanned
_ADDRESS: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2})*", re.ASCII)
_ADDRESS_KINDS: Final = {17: "eui48", 23: "eui64"}  # by the length of their text


class UsedValues:
    """What is given, with what is found to be given on the way."""

    def __init__(self, store: Reading) -> None:
        self._store = store
        self._catalogue = Catalogue()
        self._owners = {(row["kind"], row["value"]): row["hardware_id"] for row in store.find("given_values")}
        self._pools = {row["product"]: _pools(store, row["product"]) for row in store.find("products")}

    def owner(self, serial: str) -> str | None:
        """The hardware ID to which a serial number was given, or None."""
        return self._owners.get(("serial", serial))

    def could_be_given(self, hardware_id: str, product: str, claim: LostClaim) -> bool:
        """Whether this product gives a board just such values, and none of them is another's."""
        definition = self._catalogue.product(self._store, product)
        pools = {pool.pool: pool for pool in definition.pools()}
        serials = definition.file.serials
        wanted = dict(claim.values)
        if isinstance(serials, ScannedSerials):
            fits = re.fullmatch(serials.scanned, claim.serial) is not None
        else:
            fits = _SERIAL not in wanted
            wanted[_SERIAL] = claim.serial
        given = [("serial", claim.serial), *self._kinds(product, claim.values)]
        return (
            fits
            and wanted.keys() == pools.keys()
            and all(has_value(pools[name], value) for name, value in wanted.items())
            and all(self._owners.get(one, hardware_id) == hardware_id for one in given)
        )

    def use_up(self, hardware_id: str, product: str | None, claim: LostClaim) -> list[Row]:
        """Rows for the values that nobody had; they are this unit's from now on. Those of a lot that is not known have
        no product: an address can be told by its form, a value of a list cannot."""
        rows: list[Row] = []
        for kind, value in [("serial", claim.serial), *self._kinds(product, claim.values)]:
            if (kind, value) not in self._owners:
                self._owners[(kind, value)] = hardware_id
                rows.append({"kind": kind, "value": value, "product": product or "", "hardware_id": hardware_id})
        return rows

    def _kinds(self, product: str | None, values: Mapping[str, str]) -> list[tuple[str, str]]:
        if product is None:
            addresses = [value for value in values.values() if _ADDRESS.fullmatch(value)]
            return [(_ADDRESS_KINDS[len(value)], value) for value in addresses if len(value) in _ADDRESS_KINDS]
        kinds = {pool.pool: value_kind(product, pool) for pool, _ in self._pools[product]}
        return [(kinds[name], value) for name, value in values.items() if name in kinds]

    def skipped(self, product: str, unseen: int) -> list[dict[str, Any]]:
        """Where the pools of a product go on: behind all that is known to be given in one row from where they are, and
        behind as many more as may have been given unseen."""
        moved = []
        for pool, start in self._pools[product]:
            index = self._behind(pool, value_kind(product, pool), start, unseen)
            if index != start:
                moved.append({"product": product, "pool": pool.pool, "before": start, "next": index})
        return moved

    def _behind(self, pool: Pool, kind: str, index: int, unseen: int) -> int:
        while index < pool.size:
            if (kind, value_at(pool, index)) not in self._owners:
                if unseen == 0:
                    break
                unseen -= 1
            index += 1
        return index


def _pools(store: Reading, product: str) -> list[tuple[Pool, int]]:
    rows = store.find("pools", product=product)
    return [
        (Pool(pool=row["pool"], kind=row["kind"], size=row["size"], spec=json.loads(row["spec"])), row["next"])
        for row in rows
    ]


def may_be_allotted(lot: Row) -> int:
    """To how many boards more an open lot could have given values."""
    return max(0, most_allotted(lot["granted"] + lot["refunded"]) - int(lot["allotted"]))
