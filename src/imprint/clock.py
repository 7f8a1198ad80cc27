"""Injected time. The core takes ``now`` as a value; only the shell owns a clock."""

from collections.abc import Callable
from datetime import UTC, datetime

from imprint.errors import FormatError

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The machine's clock, in UTC."""
    return datetime.now(UTC)


def to_text(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: ``2026-11-21T11:37:07.123Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """The inverse of :func:`to_text`; :class:`FormatError` for anything else."""
    try:
        moment = datetime.fromisoformat(text)
        same = to_text(moment) == text
    except (ValueError, OverflowError) as error:
        raise FormatError("not a time in RFC 3339", subject=repr(text)) from error
    if not same:
        raise FormatError("a time must be UTC with milliseconds, like 2026-11-21T11:37:07.123Z", subject=repr(text))
    return moment
