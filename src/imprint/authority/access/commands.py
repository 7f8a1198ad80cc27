"""What is asked about accounts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteAccount:
    """A person or station may enrol, once, with the code whose SHA-256 is ``code`` (hexadecimal), for ``hours``. An
    account that exists is invited again: its next enrolment replaces its certificate."""

    name: str
    role: str
    code: str
    hours: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspendAccount:
    """From now on the account is refused everything, repeats of earlier requests included."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeAccount:
    """A suspended account may ask again."""

    name: str
    reason: str
