"""How far a claim can be trusted (the design's rule 5)."""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Annotated, Final

from annotated_types import MaxLen

# What a station may write ends up in records for ever, so it has a limit.
Word = Annotated[str, MaxLen(100)]
Value = Annotated[str, MaxLen(256)]


@unique
class Grade(StrEnum):
    """From the strongest to the weakest."""

    ATTESTED = "attested"  # a silicon root signed our nonce with the measurement
    UNIT_SIGNED = "unit-signed"  # the unit's firmware says so, under its own key
    STATION_OBSERVED = "station-observed"
    DECLARED = "declared"


STRENGTH: Final = {Grade.ATTESTED: 3, Grade.UNIT_SIGNED: 2, Grade.STATION_OBSERVED: 1, Grade.DECLARED: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One thing that a station saw, or was told. ``grade`` is at most ``station-observed``: a station cannot sign
    for a unit. ``claim`` is one of ``CLAIMS``."""

    claim: Word
    value: Value
    grade: Grade
    time: Word  # RFC 3339, UTC, when it was seen


CLAIMS: Final = frozenset({"hardware-id", "boot-key", "firmware", "debug", "identity", "self-test", "power-cycle"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measured value of a test. Numbers are decimal text, so that nothing is lost on the way."""

    step: Word
    name: Word
    value: Word
    unit: Word = ""
    low: Word | None = None
    high: Word | None = None
    passed: bool
