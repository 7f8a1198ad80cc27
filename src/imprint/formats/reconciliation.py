"""The reconciliation of a lot: an in-toto Statement that accounts for every unit, to be put into a DSSE envelope.

``granted + refunded = shipped + scrapped + quarantined + unused`` holds in every one that can be encoded or decoded.
``docs/formats/birth-record.md`` has the specification beside that of the record.
"""

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from imprint.encoding import sha256_hex
from imprint.errors import FormatError
from imprint.formats.statement import Count, Sha256, Statement, Text, Time, decode_statement, encode_statement, strict

PREDICATE_TYPE: Final = "https://imprint.dev/reconciliation/v1"


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Where the units of a lot went, under a checkpoint that covers it. The subject is the lot; it is no file, so its
    digest is that of its name in UTF-8."""

    lot: Text
    product: Text
    granted: Count
    refunded: Count
    shipped: Count
    scrapped: Count
    quarantined: Count
    unused: Count
    contested: tuple[Text, ...]  # serial numbers
    checkpoint_size: Count
    checkpoint_root: Sha256
    closed_at: Time


_adapter: Final = TypeAdapter(Statement[Reconciliation])


def encode(reconciliation: Reconciliation) -> bytes:
    """The statement in canonical JSON. Raises :class:`FormatError` for a field that :func:`decode` would refuse, and
    for a sum that does not add up."""
    one = reconciliation
    if one.granted + one.refunded != one.shipped + one.scrapped + one.quarantined + one.unused:
        raise FormatError("the sum of the lot does not add up", subject=f"lot {one.lot}")
    return encode_statement(
        _adapter,
        name=one.lot,
        sha256=sha256_hex(one.lot.encode()),
        predicate_type=PREDICATE_TYPE,
        predicate=one,
    )


def decode(data: bytes) -> Reconciliation:
    """A reconciliation from outside, or :class:`FormatError`. Other fields, types and encodings are refused."""
    reconciliation = decode_statement(_adapter, data)
    if encode(reconciliation) != data:
        raise FormatError("not a reconciliation in canonical form", subject="statement")
    return reconciliation
