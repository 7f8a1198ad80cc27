"""A product: the device type that a company builds, as its engineer describes it in YAML."""

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from imprint.authority.production.pools import Pool, value_at
from imprint.encoding import b64, canonical
from imprint.errors import FormatError, RecipeError
from imprint.formats.profile import Profile, parse_profile
from imprint.formats.x509 import parse_serial
from imprint.formats.yaml_document import check, load
from imprint.protocol.evidence import CLAIMS, Grade

DEFAULT_LEAST_GRADES: Final = {
    "hardware-id": Grade.UNIT_SIGNED,
    "identity": Grade.UNIT_SIGNED,
    "firmware": Grade.UNIT_SIGNED,
    "boot-key": Grade.UNIT_SIGNED,
    "debug": Grade.STATION_OBSERVED,
    "self-test": Grade.STATION_OBSERVED,
}
_SERIAL: Final = "serial"
_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MadeSerials(_Model):
    """Serial numbers that we make: prefix and a number of at least ``width`` digits."""

    made: str = Field(max_length=40)
    first: int = Field(default=1, ge=0)
    width: int = Field(default=6, ge=1, le=20)
    count: int = Field(default=1_000_000, ge=1, le=100_000_000)


class ScannedSerials(_Model):
    """Serial numbers that the station scans from the label; the whole label must match."""

    scanned: str = Field(max_length=200)

    @field_validator("scanned")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as problem:
            raise ValueError(f"not a regular expression: {problem}") from None
        return pattern


def _serials_kind(found: object) -> str:
    scanned = isinstance(found, ScannedSerials) or (isinstance(found, Mapping) and "scanned" in found)
    return "scanned serials" if scanned else "made serials"


class AddressRange(_Model):
    """A range of EUI-48 (MAC) or EUI-64 addresses, written with colons."""

    kind: Literal["eui48", "eui64"]
    first: str
    count: int = Field(ge=1, le=100_000_000)

    @model_validator(mode="after")
    def _fits(self) -> "AddressRange":
        octets = 6 if self.kind == "eui48" else 8
        if not re.fullmatch("[0-9a-fA-F]{2}" + ":[0-9a-fA-F]{2}" * (octets - 1), self.first):
            raise ValueError(f"'first' must be {octets} octets in hexadecimal with colons")
        if int(self.first.replace(":", ""), 16) + self.count > 1 << (8 * octets):
            raise ValueError("the range runs past the last address")
        return self


class ValueList(_Model):
    """Values made elsewhere, calibration constants for example; one for each unit."""

    kind: Literal["list"]
    values: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(min_length=1, max_length=1_000_000)

    @field_validator("values")
    @classmethod
    def _distinct(cls, values: list[str]) -> list[str]:
        if len(set(values)) != len(values):
            raise ValueError("a value occurs twice")
        return values


class ProductFile(_Model):
    """The file's schema; ``docs/formats/product.md`` explains it."""

    product: str = Field(pattern=_NAME)
    description: str = Field(default="", max_length=500)
    identity: dict[str, Any]
    serials: Annotated[
        Annotated[MadeSerials, Tag("made serials")] | Annotated[ScannedSerials, Tag("scanned serials")],
        Discriminator(_serials_kind),
    ]
    values: dict[
        Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")],
        Annotated[AddressRange | ValueList, Field(discriminator="kind")],
    ] = Field(default_factory=dict)
    evidence: dict[str, str] = Field(default_factory=dict)
    lease_minutes: int = Field(default=60, ge=1, le=60 * 24 * 30)
    vendor_roots: list[str] = Field(default_factory=list)

    @field_validator("values")
    @classmethod
    def _no_serials(cls, values: dict[str, AddressRange | ValueList]) -> dict[str, AddressRange | ValueList]:
        if _SERIAL in values:
            raise ValueError(f"'{_SERIAL}' is the name of the serial numbers' own pool; choose another")
        return values

    @field_validator("vendor_roots")
    @classmethod
    def _certificates(cls, roots: list[str]) -> list[str]:
        """PEM or base64 of DER, kept as base64 of DER."""
        try:
            return [b64(_root_certificate(root)) for root in roots]
        except ValueError:
            raise ValueError("a vendor's root must be a certificate in PEM") from None

    @model_validator(mode="after")
    def _vouched(self) -> "ProductFile":
        if self.identity.get("key_origin") == "preprovisioned" and not self.vendor_roots:
            raise ValueError("keys of origin preprovisioned need vendor_roots: whose certificates are to be believed?")
        return self

    @field_validator("evidence")
    @classmethod
    def _known(cls, evidence: dict[str, str]) -> dict[str, str]:
        for claim, grade in evidence.items():
            if claim not in CLAIMS:
                raise ValueError(f"'{claim}' is not a claim; the claims are {', '.join(sorted(CLAIMS))}")
            if grade != "none" and grade not in set(Grade):
                raise ValueError(f"'{grade}' is not a grade; the grades are none, {', '.join(Grade)}")
        return evidence


class Product:
    """A checked product: its profile, pools and policy. Made from a file or from its stored definition."""

    def __init__(self, file: ProductFile) -> None:
        self.file = file
        self.name = file.product
        self.profile: Profile = parse_profile(file.identity)
        if isinstance(file.serials, MadeSerials):
            parse_serial(value_at(self._serial_pool(file.serials), file.serials.count - 1))

    @classmethod
    def from_yaml(cls, data: bytes, *, name: str) -> "Product":
        """From the engineer's file. Raises :class:`imprint.errors.RecipeError` with the line."""
        document = load(data, name=name)
        file = check(document, ProductFile)
        try:
            return cls(file)
        except FormatError as problem:
            part, _, field = problem.subject.partition(" field ")
            path = ("identity", field) if part == "profile" else ("serials",)
            what = f"{'.'.join(path)}: {problem.what}"
            raise RecipeError(what, subject=document.where(path), next_step=problem.next_step) from None

    @classmethod
    def from_definition(cls, data: bytes) -> "Product":
        """From :meth:`definition`."""
        return cls(ProductFile.model_validate_json(data))

    def definition(self) -> bytes:
        """Canonical bytes, stored and hashed."""
        return canonical(self.file.model_dump(mode="json"))

    @property
    def scanned_serials(self) -> bool:
        """Whether the station scans the label."""
        return isinstance(self.file.serials, ScannedSerials)

    def least_grades(self) -> dict[str, Grade]:
        """The least grade for each claim that this product asks for; 'none' takes a claim out."""
        chosen = {**{claim: str(grade) for claim, grade in DEFAULT_LEAST_GRADES.items()}, **self.file.evidence}
        return {claim: Grade(grade) for claim, grade in chosen.items() if grade != "none"}

    def pools(self) -> list[Pool]:
        """The pools that a unit draws from, the serial numbers' first."""
        serials = self.file.serials
        made = [self._serial_pool(serials)] if isinstance(serials, MadeSerials) else []
        return [*made, *(_value_pool(name, spec) for name, spec in sorted(self.file.values.items()))]

    @staticmethod
    def _serial_pool(serials: MadeSerials) -> Pool:
        spec = {"prefix": serials.made, "first": serials.first, "width": serials.width}
        return Pool(pool=_SERIAL, kind="serial", size=serials.count, spec=spec)


def _root_certificate(text: str) -> bytes:
    if text.lstrip().startswith("-----BEGIN"):
        return load_pem_x509_certificate(text.encode()).public_bytes(Encoding.DER)
    return load_der_x509_certificate(base64.b64decode(text, validate=True)).public_bytes(Encoding.DER)


def _value_pool(name: str, spec: AddressRange | ValueList) -> Pool:
    if isinstance(spec, AddressRange):
        first = spec.first.replace(":", "").lower()
        return Pool(pool=name, kind=spec.kind, size=spec.count, spec={"first": first})
    return Pool(pool=name, kind="list", size=len(spec.values), spec={"values": spec.values})
