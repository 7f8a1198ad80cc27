"""in-toto Statements, version 1 (github.com/in-toto/attestation, spec/v1/statement.md): what a signed envelope says,
and of what it says it.

Ours have one subject, are canonical JSON, and are read strictly: a statement that is not exactly what this version of
its predicate would write is refused.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Generic, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config

from imprint.clock import from_text
from imprint.encoding import MAX_SAFE_INTEGER, canonical
from imprint.errors import FormatError

STATEMENT_TYPE: Final[Literal["https://in-toto.io/Statement/v1"]] = "https://in-toto.io/Statement/v1"

P = TypeVar("P")


def _check_time(text: str) -> str:
    from_text(text)
    return text


Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER)]
Time = Annotated[str, AfterValidator(_check_time)]

_STRICT: Final = ConfigDict(extra="forbid", strict=True)


def strict(predicate: type[P]) -> type[P]:
    """Class decorator of a predicate's dataclasses: no other field, no other type."""
    return with_config(_STRICT)(predicate)


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The digest set of a subject; one algorithm."""

    sha256: Sha256


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a statement is about."""

    name: Text
    digest: Digest


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Statement(Generic[P]):
    """A statement as it is read."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[str, Field(alias="predicateType")]
    predicate: P


def encode_statement(
    adapter: TypeAdapter[Statement[P]], *, name: str, sha256: str, predicate_type: str, predicate: P
) -> bytes:
    """The statement's bytes; ``name`` and ``sha256`` are those of the subject. Raises :class:`FormatError` for a
    predicate that ``adapter`` would refuse, so that what cannot be read is never signed."""
    statement = Statement(
        type=STATEMENT_TYPE,
        subject=(Subject(name=name, digest=Digest(sha256=sha256)),),
        predicate_type=predicate_type,
        predicate=predicate,
    )
    data = canonical(adapter.dump_python(statement, mode="json", by_alias=True, warnings=False))
    decode_statement(adapter, data)
    return data


def decode_statement(adapter: TypeAdapter[Statement[P]], data: bytes) -> P:
    """The predicate, with its types checked, or :class:`FormatError`. The caller compares ``data`` with the encoding of
    what it got: that covers the subject, the predicate's type and the canonical form."""
    try:
        return adapter.validate_json(data).predicate
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FormatError(f"{first['msg']} at {place or 'the top'}", subject="statement") from None
