"""Faults that can be asked for, so that a line can be shown to catch them."""

import re
from dataclasses import dataclass, replace
from typing import Final

from imprint.errors import InputError

HANG_AFTER: Final = 20  # requests
LOSE_ONE_IN: Final = 4000  # bytes

_FAULT: Final = re.compile(r"([a-z-]+)(?:=(\d{1,9}))?", re.ASCII)
_NEXT: Final = (
    "Write it like 2=self-test or 0=clone=1,false-lock; kinds: self-test, clone=M, false-lock, hang[=K], "
    "drop-bytes[=N], power-loss"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong with one unit. The default is a good unit."""

    self_test: bool = False  # the self-test fails
    clone_of: int | None = None  # reports the hardware ID of this unit
    false_lock: bool = False  # says that debug is locked, and the port stays open
    hang_after: int | None = None  # after so many requests no more answers until the next reset or power cycle
    lose_one_in: int | None = None  # of about so many bytes one is lost, on the way in and on the way out
    power_loss: bool = False  # the supply fails once, somewhere in the first upload


def parse_fault(text: str) -> tuple[int, Faults]:
    """``N=KIND[,KIND]`` as the unit's number and its faults, or :class:`InputError`."""
    number, separator, kinds = text.partition("=")
    if not separator or not number.isascii() or not number.isdigit():
        raise InputError("not a unit's number and its faults", subject=f"fault {text!r}", next_step=_NEXT)
    faults = Faults()
    for kind in kinds.split(","):
        found = _FAULT.fullmatch(kind)
        if found is None:
            raise InputError(f"{kind!r} is not a fault", subject=f"fault {text!r}", next_step=_NEXT)
        faults = _with(faults, found[1], None if found[2] is None else int(found[2]), text)
    return int(number), faults


def _with(faults: Faults, kind: str, value: int | None, text: str) -> Faults:
    match kind, value:
        case "self-test", None:
            return replace(faults, self_test=True)
        case "clone", int(unit):
            return replace(faults, clone_of=unit)
        case "false-lock", None:
            return replace(faults, false_lock=True)
        case "hang", requests:
            return replace(faults, hang_after=HANG_AFTER if requests is None else requests)
        case "drop-bytes", count if count != 0:
            return replace(faults, lose_one_in=LOSE_ONE_IN if count is None else count)
        case "power-loss", None:
            return replace(faults, power_loss=True)
    raise InputError(f"{kind!r} is not such a fault", subject=f"fault {text!r}", next_step=_NEXT)
