"""What the authority answers, with a receipt for each."""

from dataclasses import dataclass
from typing import Literal

from imprint.protocol.intentions import Fence


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The unit's place in the lot. ``values`` are from the product's pools (``mac``, ``calibration``, …)."""

    kind: Literal["claimed"] = "claimed"
    state: str  # where an earlier attempt of the same run got to
    serial: str
    fence: Fence
    values: dict[str, str]
    challenge: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenged:
    """The unit is certified, and another claim holds it: have it sign a statement over ``challenge``, and take it over.
    Nothing has changed yet; whatever happens to the unit makes the challenge void."""

    kind: Literal["challenged"] = "challenged"
    challenge: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """The identity (DER) and its chain, leaf's issuer first, and a fresh challenge."""

    kind: Literal["certified"] = "certified"
    certificate: bytes
    chain: tuple[bytes, ...]
    challenge: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """Go ahead with ``action``; the unit's final statement must answer ``challenge``."""

    kind: Literal["permitted"] = "permitted"
    action: str
    challenge: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The signed birth record (a DSSE envelope in JSON)."""

    kind: Literal["completed"] = "completed"
    record: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The unit is in this state now."""

    kind: Literal["done"] = "done"
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """The account may ask from now on, with this certificate (DER) of the access CA."""

    kind: Literal["enrolled"] = "enrolled"
    name: str
    role: str
    certificate: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No. ``code`` names the rule (:mod:`imprint.protocol.refusals`); asking again with the same ID gives the same."""

    kind: Literal["refused"] = "refused"
    code: str
    message: str
    next_step: str


Result = Claimed | Challenged | Certified | Permitted | Completed | Done | Enrolled | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof that the decision was logged: the entry's leaf hash and time, signed by the ledger's key (Ed25519 over
    :func:`imprint.formats.receipt.signed_bytes`)."""

    leaf: str  # RFC 6962 leaf hash, hexadecimal
    time: str
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A result and its receipt."""

    result: Result
    receipt: Receipt
