"""What a station may ask. Each intention is about one unit of one lot; ``fence`` is the epoch that the claim gave.

A station names a request with an ID of its own. The same ID with the same body gets the same bytes back; with another
body, a conflict (the design's rule 3).
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Annotated, Final, Literal

from annotated_types import Ge, Lt, MaxLen

from imprint.protocol.evidence import Measurement, Observation, Value, Word

MAX_INTENTION: Final = 1 << 19  # bytes of a whole intention

Fence = Annotated[int, Ge(0), Lt(2**31)]
Reason = Annotated[str, MaxLen(4000)]
Der = Annotated[bytes, MaxLen(8192)]
Observations = Annotated[tuple[Observation, ...], MaxLen(100)]
Measurements = Annotated[tuple[Measurement, ...], MaxLen(500)]


@unique
class KeyOrigin(StrEnum):
    """Where a private key is born."""

    DEVICE = "device"
    ELEMENT = "element"
    INJECTED = "injected"
    PREPROVISIONED = "preprovisioned"
    DERIVED = "derived"


@unique
class Action(StrEnum):
    """Irreversible steps that need a permit."""

    FUSE_BOOT_KEY = "fuse-boot-key"
    LOCK_DEBUG = "lock-debug"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimUnit:
    """I have this unit on my bench: give it a place in the lot.

    ``run`` names the attempt: the same run may claim again after a crash; another run of the same hardware ID is a
    second claimant. One whose unit is certified and in work is given a challenge (:class:`TakeOverUnit`).
    ``scanned_serial`` is the label, for products whose serial numbers are scanned.
    """

    kind: Literal["claim"] = "claim"
    lot: Word
    run: Value
    hardware_id: Word  # lower-case hexadecimal
    scanned_serial: Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOverUnit:
    """The unit that was certified elsewhere is on my bench, as it says itself: let me go on with it.

    ``claim`` is the ID of this station's claim that was answered with a challenge. ``statement`` and ``signature`` are
    the unit's own, over that challenge; both are empty when the board refused to make one.
    """

    kind: Literal["take-over"] = "take-over"
    lot: Word
    hardware_id: Word
    claim: Value
    statement: Der
    signature: Der


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifyKey:
    """Certify the key in this request (PKCS#10, DER), which this unit holds."""

    kind: Literal["certify"] = "certify"
    lot: Word
    hardware_id: Word
    fence: Fence
    origin: KeyOrigin
    csr: Der
    vendor_certificate: Der | None = None  # DER; for pre-provisioned keys


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitStep:
    """May I do this irreversible step now? ``observed`` says what was seen just before."""

    kind: Literal["permit"] = "permit"
    lot: Word
    hardware_id: Word
    fence: Fence
    action: Action
    observed: Observations


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteUnit:
    """The unit is complete; here is the evidence.

    ``statement`` and ``signature`` are the unit's own (:class:`imprint.formats.provisioning_group.UnitStatement`), over
    the last challenge that the authority gave for this unit.
    """

    kind: Literal["complete"] = "complete"
    lot: Word
    hardware_id: Word
    fence: Fence
    statement: Der
    signature: Der
    observed: Observations
    measurements: Measurements


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseUnit:
    """The run failed before a certificate was issued: take the place in the lot back."""

    kind: Literal["release"] = "release"
    lot: Word
    hardware_id: Word
    fence: Fence
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineUnit:
    """The run failed after a certificate was issued, or its outcome is unknown."""

    kind: Literal["quarantine"] = "quarantine"
    lot: Word
    hardware_id: Word
    fence: Fence
    reason: Reason


Intention = ClaimUnit | TakeOverUnit | CertifyKey | PermitStep | CompleteUnit | ReleaseUnit | QuarantineUnit
