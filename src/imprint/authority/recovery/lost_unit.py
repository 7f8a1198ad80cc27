"""What was lost, as far as it could be found out, and the request that declares it."""

from collections.abc import Mapping
from dataclasses import dataclass

from imprint.formats.checkpoint import Checkpoint
from imprint.formats.crl import RevocationList


@dataclass(frozen=True, slots=True, kw_only=True)
class LostClaim:
    """A place in a lot that a station says it was given. Its word alone: it may use values up and nothing else."""

    lot: str
    serial: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LostIdentity:
    """A certificate (DER) that our device CA has signed: number, serial number, hardware ID and key (SPKI in DER) are
    proven. ``record`` is the birth record about it, signed by the record key; without one, ``lot`` and ``origin`` are
    the station's word, and ``product`` and ``values`` are not known."""

    certificate: bytes
    number: str
    serial: str
    public_key: str  # the hash of its SubjectPublicKeyInfo, hexadecimal
    not_before: str
    origin: str
    lot: str
    product: str | None
    values: Mapping[str, str]
    record: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LostUnit:
    """All that was decided about one hardware ID and is lost. ``identities`` are in the order of their making;
    ``fence`` is the highest that a station was given, ``contested`` says that a second claimant was refused."""

    hardware_id: str
    station: str
    run: str
    fence: int
    contested: bool
    quarantined: bool
    claims: tuple[LostClaim, ...]
    identities: tuple[LostIdentity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileLedger:
    """The declaration of what was lost, made once in each generation of a ledger.

    ``origin`` is the name under which it goes on; ``known`` the newest checkpoint of the old name. ``decisions`` is how
    many lost decisions the journals of ``stations`` show; ``unanswered`` how many questions for a place had no answer
    in them. ``lost_grants`` are the units granted, by product, in lots that were made in the lost time.
    """

    origin: str
    known: Checkpoint
    stations: tuple[str, ...]
    lost_journals: tuple[str, ...]
    lost_grants: tuple[tuple[str, int], ...]
    units: tuple[LostUnit, ...]
    decisions: int
    unanswered: int
    crl: RevocationList | None
    findings: tuple[str, ...]
