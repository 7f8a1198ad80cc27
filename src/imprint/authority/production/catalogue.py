"""Products and lots by name, parsed once: their definitions never change after they are added."""

from dataclasses import dataclass

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.outcome import Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.product import Product
from imprint.errors import InputError
from imprint.formats.mcuboot import Image, parse
from imprint.protocol.refusals import Code


@dataclass(frozen=True, slots=True)
class PinnedLot:
    """A lot's row, and what it pins."""

    row: Row
    product: Product
    firmware: Image


class Catalogue:
    """A cache of what is immutable. Reads the lot's row anew each time: its counts move."""

    def __init__(self) -> None:
        self._products: dict[str, Product] = {}
        self._images: dict[str, Image] = {}

    def product(self, store: Reading, name: str) -> Product:
        """Raises :class:`InputError` when there is no such product."""
        if name not in self._products:
            row = store.get("products", product=name)
            if row is None:
                raise InputError("no such product", subject=name, next_step="See 'imprint product list'")
            self._products[name] = Product.from_definition(store.blob(row["definition"]))
        return self._products[name]

    def image(self, store: Reading, sha256: str) -> Image:
        """A stored image, parsed."""
        if sha256 not in self._images:
            self._images[sha256] = parse(store.blob(sha256))
        return self._images[sha256]

    def open_lot(self, store: Reading, lot: str) -> PinnedLot:
        """The lot, or a refusal when it is unknown or closed."""
        row = store.get("lots", lot=lot)
        if row is None:
            raise Refusal(Code.UNKNOWN_LOT, f"there is no lot {lot}", next_step="See 'imprint lot list'")
        if row["state"] != "open":
            raise Refusal(Code.LOT_CLOSED, f"lot {lot} is closed", next_step="Ask the owner for another lot")
        return PinnedLot(row, self.product(store, row["product"]), self.image(store, row["firmware"]))
