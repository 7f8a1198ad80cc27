"""Rules for what an owner or a security officer asks."""

import json
import re
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Final

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.outcome import Event, Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.catalogue import Catalogue
from imprint.authority.production.claim import expire
from imprint.authority.production.commands import CloseLotUnder, DefineProduct
from imprint.authority.production.entries import LOT_CLOSED, LOT_CREATED, PRODUCT_ADDED, UNIT_CLEARED
from imprint.authority.production.life_cycle import Move, State
from imprint.authority.production.named_unit import find_unit, move, moved, refuse_closed
from imprint.authority.production.pools import Pool, overlaps
from imprint.authority.production.product import Product
from imprint.authority.production.reconciliation import reconcile, signed
from imprint.encoding import sha256_hex
from imprint.formats.checkpoint import Checkpoint
from imprint.keys.signer import Signer
from imprint.protocol.answers import Done
from imprint.protocol.commands import ClearUnit, CreateLot, ExpireClaims
from imprint.protocol.refusals import Code

MAX_GRANT: Final = 10_000_000
_LOT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

OpenCheckpoint = Callable[[bytes], Checkpoint]


class AddProductRule:
    """Decides :class:`DefineProduct`."""

    def __call__(self, moment: Moment, store: Reading, command: DefineProduct) -> Outcome:
        """Refuses a name that is taken, and address ranges that another product uses."""
        product = Product.from_definition(command.definition)
        if store.get("products", product=product.name) is not None:
            raise Refusal(
                Code.NAME_TAKEN,
                f"there is a product {product.name} already",
                next_step="A definition never changes: give the new one a new name",
            )
        pools = product.pools()
        for row in store.find("pools"):
            other = Pool(pool=row["pool"], kind=row["kind"], size=row["size"], spec=json.loads(row["spec"]))
            clash = next((pool.pool for pool in pools if overlaps(pool, other)), None)
            if clash:
                raise Refusal(
                    Code.RANGE_TAKEN,
                    f"the range of {clash} overlaps with {other.pool} of product {row['product']}",
                    next_step="Each address is given once: choose another range",
                )
        for one, other in combinations(pools, 2):
            if overlaps(one, other):
                raise Refusal(
                    Code.RANGE_TAKEN,
                    f"the range of {one.pool} overlaps with that of {other.pool}",
                    next_step="Each address is given once: choose another range",
                )
        private = {
            "product": product.name,
            "definition": sha256_hex(command.definition),
            "pools": [
                {"pool": pool.pool, "kind": pool.kind, "size": pool.size, "spec": dict(pool.spec)} for pool in pools
            ],
        }
        event = Event(PRODUCT_ADDED, private, blobs=(command.definition,))
        return Outcome((event,), Done(state="added"))


class CreateLotRule:
    """Decides :class:`CreateLot`: the grant, and the hashes that the lot pins."""

    def __init__(self, catalogue: Catalogue, chain: Sequence[bytes]) -> None:
        self._catalogue = catalogue
        self._chain = tuple(chain)

    def __call__(self, moment: Moment, store: Reading, command: CreateLot) -> Outcome:
        """Refuses a count below 1, a name that is taken, and a product or releases that were not added."""
        if not 1 <= command.count <= MAX_GRANT:
            raise Refusal(Code.BAD_REQUEST, f"a lot has 1 to {MAX_GRANT} units, not {command.count}")
        if not 0 <= command.refunds_at_most <= command.count:
            raise Refusal(
                Code.BAD_REQUEST,
                f"a lot of {command.count} can have 0 to {command.count} refunds, not {command.refunds_at_most}",
            )
        if not _LOT_NAME.fullmatch(command.lot):
            raise Refusal(Code.BAD_REQUEST, "a lot's name has 1 to 64 letters, digits, dots, dashes and underscores")
        if store.get("lots", lot=command.lot) is not None:
            raise Refusal(Code.NAME_TAKEN, f"there is a lot {command.lot} already", next_step="Choose another name")
        if store.get("products", product=command.product) is None:
            raise Refusal(
                Code.UNKNOWN_PRODUCT, f"there is no product {command.product}", next_step="See 'imprint product list'"
            )
        product = self._catalogue.product(store, command.product)
        firmware = _release(store, product.name, "production", command.firmware)
        diagnostic = _release(store, product.name, "diagnostic", command.diagnostic) if command.diagnostic else None
        profile, recipe = product.profile.encode(), command.recipe.encode()
        private = {
            "lot": command.lot,
            "product": product.name,
            "granted": command.count,
            "refunds_at_most": command.refunds_at_most,
            "recipe": sha256_hex(recipe),
            "recipe_name": command.recipe_name,
            "profile": sha256_hex(profile),
            "firmware": firmware["image"],
            "diagnostic": diagnostic["image"] if diagnostic else None,
        }
        # The chain is stored with the lot: the answers to its stations refer to it by hash.
        event = Event(LOT_CREATED, private, blobs=(recipe, profile, *self._chain))
        return Outcome((event,), Done(state="open"))


class CloseLotRule:
    """Decides :class:`CloseLotUnder`: every unit is accounted for, under a checkpoint that covers it (rule 8)."""

    def __init__(self, catalogue: Catalogue, record_signer: Signer, open_checkpoint: OpenCheckpoint) -> None:
        self._catalogue = catalogue
        self._signer = record_signer
        self._open_checkpoint = open_checkpoint

    def __call__(self, moment: Moment, store: Reading, command: CloseLotUnder) -> Outcome:
        """Refuses while units are in work, and a checkpoint that does not cover the lot."""
        lot = self._catalogue.open_lot(store, command.lot).row
        checkpoint = self._open_checkpoint(command.checkpoint)
        if checkpoint.size <= store.index(lot["last_leaf"]):
            raise Refusal(
                Code.NOT_COVERED,
                f"the checkpoint of size {checkpoint.size} does not cover lot {lot['lot']}",
                next_step="Run 'imprint ledger checkpoint', then close the lot",
            )
        if lot["in_work"]:
            raise Refusal(
                Code.WRONG_STATE,
                f"{lot['in_work']} units of lot {lot['lot']} are still in work",
                next_step=f"Finish them, or scrap or clear them: 'imprint lot report {lot['lot']}' names them",
            )
        contested = tuple(unit["serial"] for unit in store.find("units", lot=lot["lot"], contested=1))
        envelope = signed(
            reconcile(lot, contested, size=checkpoint.size, root=checkpoint.root, time=moment.time), self._signer
        )
        private = {"lot": lot["lot"], "reconciliation": sha256_hex(envelope)}
        return Outcome((Event(LOT_CLOSED, private, blobs=(envelope,)),), Done(state="closed"))


class ExpireClaimsRule:
    """Decides :class:`ExpireClaims`: every claim past its lease gives its place back."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __call__(self, moment: Moment, store: Reading, command: ExpireClaims) -> Outcome:
        """Refuses a lot that is unknown or closed, and one with no claim to expire."""
        self._catalogue.open_lot(store, command.lot)
        claimed = store.find("units", lot=command.lot, state=State.CLAIMED.value)
        stale = [unit for unit in claimed if unit["lease_until"] < moment.time]
        if not stale:
            raise Refusal(Code.WRONG_STATE, f"lot {command.lot} has no claim past its lease")
        return Outcome(tuple(expire(unit) for unit in stale), Done(state="expired"))


class ClearRule:
    """Decides :class:`ClearUnit`."""

    def __call__(self, moment: Moment, store: Reading, command: ClearUnit) -> Outcome:
        """Refuses a unit that does not exist or that is scrapped, and a move that would change a closed lot's sum."""
        unit = find_unit(store, command.serial)
        after = move(unit, _way_out(unit))
        if after != unit["state"]:
            refuse_closed(store, unit)
        private = {**moved(unit, after), "fence": unit["fence"] + 1, "reason": command.reason}
        return Outcome((Event(UNIT_CLEARED, private),), Done(state=after))


def _way_out(unit: Row) -> Move:
    """A place that no certificate was issued for goes back to the lot; that of a reworked unit waits for it."""
    state = State(unit["state"])
    if state is State.QUARANTINED and unit["certificate"] is None:
        return Move.RELEASE if unit["epoch"] == 1 else Move.KEEP
    return Move.RELEASE if state is State.CLAIMED else Move.CLEAR


def _release(store: Reading, product: str, role: str, version: str) -> Row:
    row = store.get("releases", product=product, role=role, version=version)
    if row is None:
        raise Refusal(
            Code.UNKNOWN_RELEASE,
            f"product {product} has no {role} release {version}",
            next_step="Add it: 'imprint release add'",
        )
    return row
