"""What a person may ask of an authority: everything that a station may not.

On the authority's own machine commands are asked as they are; over the network each is sent under its name in ``KINDS``
with a request ID of the asker's, as a station's intentions are. Limits are checked where bytes come in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final

from annotated_types import Ge, Le, MaxLen

from imprint.formats.crl import Reason as RevocationReason
from imprint.protocol.evidence import Value, Word
from imprint.protocol.intentions import Reason

MAX_COMMAND: Final = 24 << 20  # bytes: an image of 16 MiB in base64, and some room
CRL_DAYS: Final = 7
_MOST: Final = 2**31 - 1

Text = Annotated[str, MaxLen(1 << 20)]
Count = Annotated[int, Ge(1), Le(_MOST)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddProduct:
    """A new product. ``file``: its YAML."""

    file: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRelease:
    """A signed image for a product and a role (``production``, ``diagnostic``)."""

    product: Word
    role: Word
    image: Annotated[bytes, MaxLen(17 << 20)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateLot:
    """A production order with its grant. ``recipe``: the recipe's YAML; ``firmware`` and ``diagnostic``: versions of
    releases. Recipe, firmware and profile are pinned by their hashes."""

    lot: Word
    product: Word
    count: Count
    recipe: Text
    recipe_name: Word
    firmware: Word
    diagnostic: Word | None = None
    refunds_at_most: Annotated[int, Ge(0), Le(_MOST)] = 0  # how many places may be given back for scrapped units


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseLot:
    """Nothing more is made under this lot. The authority makes the checkpoint that covers it."""

    lot: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireClaims:
    """Claims past their lease give their places back to the lot."""

    lot: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundUnits:
    """So many scrapped units may be made again: their places go back to the lot."""

    lot: Word
    count: Count
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapUnit:
    """The unit is destroyed: its certificate is revoked in the same decision."""

    serial: Word
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeUnit:
    """The unit's certificate is not to be believed any more (RFC 5280 section 5.3.1). State and counts stay."""

    serial: Word
    reason: RevocationReason
    note: Reason = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReworkUnit:
    """The unit starts again in its place as a new epoch: its certificate is revoked in the same decision."""

    serial: Word
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SignCrl:
    """A list of all that is revoked now; the next one is due in so many days."""

    days: Count = CRL_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearUnit:
    """A security officer has looked at a contested, quarantined or stuck unit and frees it."""

    serial: Word
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteAccount:
    """A person or station may enrol, once, with the code whose SHA-256 is ``code`` (hexadecimal), for ``hours``. An
    account that exists is invited again: its next enrolment replaces its certificate."""

    name: Word
    role: Word
    code: Value
    hours: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspendAccount:
    """From now on the account is refused everything, repeats of earlier requests included."""

    name: Word
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeAccount:
    """A suspended account may ask again."""

    name: Word
    reason: Reason


Command = (
    AddProduct
    | AddRelease
    | CreateLot
    | CloseLot
    | ExpireClaims
    | RefundUnits
    | ScrapUnit
    | RevokeUnit
    | ReworkUnit
    | SignCrl
    | ClearUnit
    | InviteAccount
    | SuspendAccount
    | ResumeAccount
)
KINDS: Final[Mapping[type[Command], str]] = MappingProxyType(
    {
        AddProduct: "add-product",
        AddRelease: "add-release",
        CreateLot: "create-lot",
        CloseLot: "close-lot",
        ExpireClaims: "expire-claims",
        RefundUnits: "refund-units",
        ScrapUnit: "scrap-unit",
        RevokeUnit: "revoke-unit",
        ReworkUnit: "rework-unit",
        SignCrl: "sign-crl",
        ClearUnit: "clear-unit",
        InviteAccount: "invite-account",
        SuspendAccount: "suspend-account",
        ResumeAccount: "resume-account",
    }
)
