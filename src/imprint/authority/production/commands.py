"""What an owner or officer may ask: everything that a station may not."""

from dataclasses import dataclass

from imprint.formats.crl import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class AddProduct:
    """A new product; ``definition`` is :meth:`imprint.authority.production.product.Product.definition`."""

    definition: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateLot:
    """A production order with its grant. Recipe, firmware and profile are pinned by their hashes."""

    lot: str
    product: str
    count: int
    recipe: bytes
    recipe_name: str
    firmware: str  # version of a production release
    diagnostic: str | None  # version of a diagnostic release
    refunds_at_most: int = 0  # how many places may be given back for scrapped units


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseLot:
    """Nothing more is made under this lot. ``checkpoint`` is the signed checkpoint that covers all of its units."""

    lot: str
    checkpoint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundUnits:
    """So many scrapped units may be made again: their places go back to the lot."""

    lot: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireClaims:
    """Claims past their lease give their places back to the lot."""

    lot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapUnit:
    """The unit is destroyed: its certificate is revoked in the same decision."""

    serial: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeUnit:
    """The unit's certificate is not to be believed any more. State and counts stay as they are."""

    serial: str
    reason: Reason
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReworkUnit:
    """The unit starts again in its place as a new epoch: its certificate is revoked in the same decision."""

    serial: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearUnit:
    """A security officer has looked at a contested, quarantined or stuck unit and frees it."""

    serial: str
    reason: str


Command = (
    AddProduct | CreateLot | CloseLot | RefundUnits | ExpireClaims | ScrapUnit | RevokeUnit | ReworkUnit | ClearUnit
)
