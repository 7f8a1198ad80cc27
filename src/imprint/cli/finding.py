"""What one check of ``imprint doctor`` found."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique

from imprint.errors import ImprintError


@unique
class Status(StrEnum):
    """``warn``: it works, and could be safer. ``fail``: it does not work, or is not safe."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``found`` says what was seen; ``next_step`` what to do about it."""

    check: str
    status: Status = Status.OK
    found: str
    next_step: str = ""


def attempt(check: str, look: Callable[[], Finding]) -> Finding:
    """What ``look`` finds; its error is a failed check, so that the other checks still run."""
    try:
        return look()
    except ImprintError as problem:
        found = f"{problem.subject}: {problem.what}" if problem.subject else problem.what
        return Finding(check=check, status=Status.FAIL, found=found, next_step=problem.next_step)
