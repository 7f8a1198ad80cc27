"""The birth record of one unit: an in-toto Statement about its certificate, to be put into a DSSE envelope.

``docs/formats/birth-record.md`` is the specification. Numbers are integers below 2**53 or decimal text; hashes are
lower-case hexadecimal; times are as :mod:`imprint.clock` writes them.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from imprint.errors import FormatError
from imprint.formats.statement import Count, Sha256, Statement, Text, Time, decode_statement, encode_statement, strict

PREDICATE_TYPE: Final = "https://imprint.dev/birth-record/v1"

HardwareId = Annotated[str, Field(pattern="^([0-9a-f]{2}){4,32}$")]
Origin = Literal["device", "element", "injected", "preprovisioned", "derived"]
Grade = Literal["attested", "unit-signed", "station-observed", "declared"]


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The identity key: where it was born, and who could have seen the private half."""

    origin: Origin
    algorithm: Text
    spki_sha256: Sha256
    custody: Text  # one sentence
    seen_by: tuple[Text, ...]  # empty: nobody


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """What the unit was running at the end. ``image_hash`` is the image's SHA256 TLV (MCUboot)."""

    image_sha256: Sha256
    image_hash: Sha256
    version: Text
    security_counter: Count


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One claim, how far it can be trusted, and who made it."""

    claim: Text
    value: str
    grade: Grade
    time: Time
    source: Text


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measured value of a test; numbers are decimal text."""

    step: Text
    name: Text
    value: str
    unit: str
    low: str | None
    high: str | None
    passed: bool


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class BirthRecord:
    """All that is known of a unit at its birth. The subject is the unit: its serial, and its certificate's hash."""

    product: Text
    lot: Text
    serial: Text
    hardware_id: HardwareId
    epoch: Count
    values: dict[Text, str]  # from the product's pools
    key: Key
    certificate_sha256: Sha256  # of the DER
    firmware: Firmware
    evidence: tuple[Evidence, ...]
    station: Text
    recipe_sha256: Sha256
    measurements: tuple[Measurement, ...]
    session_counter: Count  # the first
    claim_leaf: Sha256  # RFC 6962 leaf hash of the entry
    certify_leaf: Sha256
    made_at: Time


_adapter: Final = TypeAdapter(Statement[BirthRecord])


def encode(record: BirthRecord) -> bytes:
    """The statement in canonical JSON. Raises :class:`FormatError` for a field that :func:`decode` would refuse."""
    return encode_statement(
        _adapter,
        name=record.serial,
        sha256=record.certificate_sha256,
        predicate_type=PREDICATE_TYPE,
        predicate=record,
    )


def decode(data: bytes) -> BirthRecord:
    """A birth record from outside, or :class:`FormatError`. Other fields, types and encodings are refused."""
    record = decode_statement(_adapter, data)
    if encode(record) != data:
        raise FormatError("not a birth record in canonical form", subject="statement")
    return record
