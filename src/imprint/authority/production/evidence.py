"""Evidence and its grade: what a unit signed, what a station saw, and whether that is enough.

The authority grades. What a unit's own signature covers is ``unit-signed``; what a station reports is at most
``station-observed``, whatever the station calls it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from imprint.authority.decisions.outcome import Refusal
from imprint.formats.provisioning_group import STATEMENT_CONTEXT, DebugLevel, UnitStatement
from imprint.keys.verify import verify
from imprint.protocol.evidence import CLAIMS, STRENGTH, Grade, Observation
from imprint.protocol.refusals import Code

DEBUG_NAMES = {DebugLevel.OPEN: "open", DebugLevel.RESTRICTED: "restricted", DebugLevel.LOCKED: "locked"}
UNIT = "unit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One claim with its value, how far it can be trusted, when it was seen and by whom."""

    claim: str
    value: str
    grade: Grade
    time: str
    source: str


def observed_fields(observed: Iterable[Observation]) -> list[dict[str, str]]:
    """Observations as they lie in an entry."""
    return [
        {"claim": one.claim, "value": one.value, "grade": _capped(one.grade).value, "time": one.time}
        for one in observed
    ]


def station_evidence(observed: Sequence[Observation], station: str) -> list[Evidence]:
    """What a station reported, graded. Refuses what is not a claim: the record would carry it for good."""
    for one in observed:
        if one.claim not in CLAIMS:
            raise Refusal(Code.BAD_REQUEST, f"'{one.claim[:40]}' is not a claim")
    return [
        Evidence(claim=one.claim, value=one.value, grade=_capped(one.grade), time=one.time, source=station)
        for one in observed
    ]


def unit_evidence(statement: UnitStatement, time: str) -> list[Evidence]:
    """What the unit's signature covers. The signature over our challenge is itself the proof of ``identity``."""
    level = DEBUG_NAMES.get(DebugLevel(statement.debug), str(statement.debug)) if statement.debug <= 2 else "unknown"
    values = {
        "hardware-id": statement.hw.hex(),
        "identity": statement.cert.hex(),
        "firmware": statement.image.hex(),
        "boot-key": statement.boot_key.hex(),
        "debug": level,
    }
    return [
        Evidence(claim=claim, value=value, grade=Grade.UNIT_SIGNED, time=time, source=UNIT)
        for claim, value in values.items()
    ]


def is_signed(statement: bytes, signature: bytes, spki: bytes) -> bool:
    """Whether it is a statement of the unit with this key."""
    return verify(spki, STATEMENT_CONTEXT + statement, signature)


def open_statement(statement: bytes, signature: bytes, spki: bytes, challenge: bytes) -> UnitStatement:
    """The unit's statement, signed by its certified key over our last challenge; else evidence-contradicts."""
    if not is_signed(statement, signature, spki):
        raise Refusal(
            Code.EVIDENCE_CONTRADICTS,
            "the unit's statement is not signed by the key in its certificate",
            next_step="The board may have been swapped after it was certified; keep it aside",
        )
    opened = UnitStatement.decode(statement)
    if opened.nonce != challenge:
        raise Refusal(
            Code.EVIDENCE_CONTRADICTS,
            "the unit's statement does not answer the last challenge",
            next_step="Read the unit back again",
        )
    return opened


def judge(found: Iterable[Evidence], expected: Mapping[str, str], least: Mapping[str, Grade]) -> None:
    """Refuse evidence that contradicts what is expected, and claims below the least grade of the product."""
    best: dict[str, int] = {}
    for one in found:
        wanted = expected.get(one.claim)
        if wanted is not None and one.value != wanted:
            raise Refusal(
                Code.EVIDENCE_CONTRADICTS,
                f"{one.claim} is {one.value or 'empty'} ({one.grade}), where {wanted} is expected",
                next_step="Keep the board aside and look at it: it is not what the record would say",
            )
        best[one.claim] = max(best.get(one.claim, -1), STRENGTH[one.grade])
    for claim, grade in least.items():
        if best.get(claim, -1) < STRENGTH[grade]:
            raise Refusal(
                Code.EVIDENCE_TOO_WEAK,
                f"the product wants {claim} to be {grade}, and nothing as strong was brought",
                next_step="Add a step to the recipe that brings it, or lower the product's least grade",
            )


def _capped(grade: Grade) -> Grade:
    return min(grade, Grade.STATION_OBSERVED, key=STRENGTH.__getitem__)
