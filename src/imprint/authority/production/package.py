"""What a station gets before it begins with a lot."""

from imprint.authority.decisions.outcome import Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.catalogue import Catalogue
from imprint.errors import RefusedError
from imprint.protocol.intentions import KeyOrigin
from imprint.protocol.port import LotPackage


def lot_package(store: Reading, catalogue: Catalogue, lot: str, *, boot_key: bytes) -> LotPackage:
    """The package of an open lot. Raises :class:`RefusedError` for a lot that is unknown or closed."""
    try:
        pinned = catalogue.open_lot(store, lot)
    except Refusal as refusal:
        told = refusal.result
        raise RefusedError(told.message, code=told.code, subject=lot, next_step=told.next_step) from None
    row, product = pinned.row, pinned.product
    return LotPackage(
        lot=lot,
        product=product.name,
        recipe=store.blob(row["recipe"]),
        recipe_name=row["recipe_name"],
        firmware=store.blob(row["firmware"]),
        diagnostic=store.blob(row["diagnostic"]) if row["diagnostic"] else None,
        boot_key=boot_key,
        key_algorithm=product.profile.key_algorithm.value,
        key_origin=KeyOrigin(product.profile.key_origin),
        scanned_serials=product.scanned_serials,
        least_grades=product.least_grades(),
    )
