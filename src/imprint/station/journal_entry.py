"""What a station's journal holds, and its lines. ``docs/formats/journal.md`` is the specification.

A line is one JSON object in canonical form (:func:`imprint.encoding.canonical`) with its number ``n`` and ``sum``, the
first 16 hexadecimal digits of the SHA-256 of the object without ``sum``.
"""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from imprint.encoding import canonical, parse_json_object, sha256_hex
from imprint.errors import FormatError
from imprint.protocol.evidence import Measurement, Observation

_SUM_DIGITS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A unit is on a fixture; ``run`` names the attempt, for the authority as well."""

    run: str
    lot: str
    hardware_id: str
    fixture: str
    time: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """This body is about to be sent under this request ID."""

    run: str
    request: str
    body: str  # the intention's JSON, byte for byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the authority answered."""

    run: str
    request: str
    answer: str  # the answer's JSON, byte for byte


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPassed:
    """A step of the recipe is over and need not be done again. ``index`` counts from 0."""

    run: str
    index: int
    step: str
    observed: tuple[Observation, ...]
    measured: tuple[Measurement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """The run is over; ``outcome`` is one of :class:`imprint.station.run_event.Status`."""

    run: str
    outcome: str
    time: str


Entry = RunStarted | Asked | Answered | StepPassed | RunEnded

_KINDS: Final[dict[str, type[Entry]]] = {
    "run-started": RunStarted,
    "asked": Asked,
    "answered": Answered,
    "step-passed": StepPassed,
    "run-ended": RunEnded,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
for _kind in (*_KINDS.values(), Observation, Measurement):
    with_config(ConfigDict(extra="forbid"))(_kind)
_ADAPTERS: Final = {name: TypeAdapter[Entry](kind) for name, kind in _KINDS.items()}


def encode_entry(entry: Entry, number: int) -> bytes:
    """The line, with its newline."""
    name = _NAMES[type(entry)]
    fields: dict[str, Any] = _ADAPTERS[name].dump_python(entry, mode="json")
    fields |= {"entry": name, "n": number}
    return canonical({**fields, "sum": _sum(fields)}) + b"\n"


def decode_entry(line: bytes, number: int, *, subject: str) -> Entry:
    """The entry in a line (without its newline), which must be line ``number``; else :class:`FormatError`."""
    fields = parse_json_object(line, subject=subject)
    if fields.pop("sum", None) != _sum(fields):
        raise FormatError("the line's checksum does not match", subject=subject)
    if fields.pop("n", None) != number:
        raise FormatError("a line is missing, repeated or moved", subject=subject)
    adapter = _ADAPTERS.get(str(fields.pop("entry", None)))
    if adapter is None:
        raise FormatError("not a kind of entry that this version knows", subject=subject)
    try:
        return adapter.validate_python(fields)
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        raise FormatError(f"{first['msg']} at {'.'.join(map(str, first['loc']))}", subject=subject) from None


def _sum(fields: dict[str, Any]) -> str:
    try:
        return sha256_hex(canonical(fields))[:_SUM_DIGITS]
    except (UnicodeEncodeError, RecursionError) as problem:
        raise FormatError("not a line that a journal could hold") from problem
