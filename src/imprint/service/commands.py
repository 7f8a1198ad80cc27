"""What people may ask for over HTTPS: each command's body, and the command that it means."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final

from annotated_types import Ge, Le, MaxLen
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from imprint.assemble import Command, Platform
from imprint.authority.access.commands import InviteAccount, ResumeAccount, SuspendAccount
from imprint.authority.issuance.crl import CRL_DAYS, SignCrl
from imprint.authority.production.commands import (
    AddProduct,
    ClearUnit,
    CloseLot,
    CreateLot,
    ExpireClaims,
    RefundUnits,
    RevokeUnit,
    ReworkUnit,
    ScrapUnit,
)
from imprint.authority.production.product import Product
from imprint.authority.releases.release import AddRelease
from imprint.errors import FormatError
from imprint.formats.crl import Reason as RevocationReason
from imprint.protocol.evidence import Value, Word

Text = Annotated[str, MaxLen(1 << 20)]
Reason = Annotated[str, MaxLen(4000)]
Count = Annotated[int, Ge(1), Le(2**31 - 1)]
MAX_BODY: Final = 24 << 20  # bytes: an image of 16 MiB in base64, and some room

_CONFIG: Final = ConfigDict(extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


def _body(cls: type[Any]) -> type[Any]:
    return with_config(_CONFIG)(dataclass(frozen=True, slots=True, kw_only=True)(cls))


@_body
class ProductBody:
    """``file``: the product's YAML."""

    file: Text

    def command(self, platform: Platform) -> Command:
        return AddProduct(definition=Product.from_yaml(self.file.encode(), name="product").definition())


@_body
class ReleaseBody:
    """``image``: the signed image, URL-safe base64."""

    product: Word
    role: Word
    image: Annotated[bytes, MaxLen(17 << 20)]

    def command(self, platform: Platform) -> Command:
        return AddRelease(product=self.product, role=self.role, image=self.image)


@_body
class LotBody:
    """``recipe``: the recipe's YAML; ``firmware`` and ``diagnostic``: versions of releases."""

    lot: Word
    product: Word
    count: Count
    recipe: Text
    recipe_name: Word
    firmware: Word
    diagnostic: Word | None = None
    refunds_at_most: Annotated[int, Ge(0), Le(2**31 - 1)] = 0

    def command(self, platform: Platform) -> Command:
        return CreateLot(
            lot=self.lot,
            product=self.product,
            count=self.count,
            recipe=self.recipe.encode(),
            recipe_name=self.recipe_name,
            firmware=self.firmware,
            diagnostic=self.diagnostic,
            refunds_at_most=self.refunds_at_most,
        )


@_body
class LotName:
    """A lot to be closed; the service makes the checkpoint that covers it."""

    lot: Word

    def command(self, platform: Platform) -> Command:
        return CloseLot(lot=self.lot, checkpoint=platform.checkpoint().note)


@_body
class StaleClaims:
    """The lot whose stale claims shall give their places back."""

    lot: Word

    def command(self, platform: Platform) -> Command:
        return ExpireClaims(lot=self.lot)


@_body
class Refund:
    """So many scrapped units of a lot may be made again."""

    lot: Word
    count: Count
    reason: Reason

    def command(self, platform: Platform) -> Command:
        return RefundUnits(lot=self.lot, count=self.count, reason=self.reason)


@_body
class Scrap:
    """A unit that was destroyed."""

    serial: Word
    reason: Reason

    def command(self, platform: Platform) -> Command:
        return ScrapUnit(serial=self.serial, reason=self.reason)


@_body
class Revoke:
    """A certificate that is not to be believed any more; ``reason`` in the words of RFC 5280 section 5.3.1."""

    serial: Word
    reason: Word
    note: Reason = ""

    def command(self, platform: Platform) -> Command:
        if self.reason not in list(RevocationReason):
            raise FormatError(f"a reason is one of {', '.join(RevocationReason)}", subject="reason")
        return RevokeUnit(serial=self.serial, reason=RevocationReason(self.reason), note=self.note)


@_body
class Rework:
    """A unit that starts again in its place."""

    serial: Word
    reason: Reason

    def command(self, platform: Platform) -> Command:
        return ReworkUnit(serial=self.serial, reason=self.reason)


@_body
class List:
    """A list of all that is revoked; the next one is due in so many days."""

    days: Count = CRL_DAYS

    def command(self, platform: Platform) -> Command:
        return SignCrl(days=self.days)


@_body
class Clear:
    """A unit that may go on."""

    serial: Word
    reason: Reason

    def command(self, platform: Platform) -> Command:
        return ClearUnit(serial=self.serial, reason=self.reason)


@_body
class Invite:
    """``code``: SHA-256 of the code that the newcomer gets by another way, hexadecimal."""

    name: Word
    role: Word
    code: Value
    hours: Count

    def command(self, platform: Platform) -> Command:
        return InviteAccount(name=self.name, role=self.role, code=self.code, hours=self.hours)


@_body
class Suspend:
    """An account that shall get nothing any more."""

    name: Word
    reason: Reason

    def command(self, platform: Platform) -> Command:
        return SuspendAccount(name=self.name, reason=self.reason)


@_body
class Resume:
    """A suspended account that may ask again."""

    name: Word
    reason: Reason

    def command(self, platform: Platform) -> Command:
        return ResumeAccount(name=self.name, reason=self.reason)


BODIES: Final[Mapping[str, TypeAdapter[Any]]] = MappingProxyType(
    {
        "add-product": TypeAdapter(ProductBody),
        "add-release": TypeAdapter(ReleaseBody),
        "create-lot": TypeAdapter(LotBody),
        "close-lot": TypeAdapter(LotName),
        "expire-claims": TypeAdapter(StaleClaims),
        "refund-units": TypeAdapter(Refund),
        "scrap-unit": TypeAdapter(Scrap),
        "revoke-unit": TypeAdapter(Revoke),
        "rework-unit": TypeAdapter(Rework),
        "sign-crl": TypeAdapter(List),
        "clear-unit": TypeAdapter(Clear),
        "invite-account": TypeAdapter(Invite),
        "suspend-account": TypeAdapter(Suspend),
        "resume-account": TypeAdapter(Resume),
    }
)


def read_command(kind: str, data: bytes) -> tuple[bytes, Callable[[Platform], Command]]:
    """A body in its one form, by which repeats are known, and what makes its command. Raises :class:`FormatError`."""
    adapter = BODIES[kind]
    try:
        body = adapter.validate_json(data, strict=True)
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FormatError(f"{first['msg']} at {place or 'the top'}", subject=kind) from None
    command: Callable[[Platform], Command] = body.command
    return kind.encode() + b"\n" + adapter.dump_json(body), command
