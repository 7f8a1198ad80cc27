"""The bench port: what a fixture's own instruments (a relay in the supply, a debug probe) are asked, and answer.

A second serial line beside the unit's, 115200 8N1, carrying lines of printable ASCII that end in LF (a CR before it is
ignored), at most 80 characters. One request, one reply. ``docs/formats/bench-port.md`` is the specification for whoever
builds such a board; the instruments are the station's, so what they say is ``station-observed``.
"""

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from imprint.errors import FormatError
from imprint.formats.provisioning_group import DebugLevel

LONGEST_LINE: Final = 80

_SUBJECT: Final = "bench port"
_LEVELS: Final = {"open": DebugLevel.OPEN, "restricted": DebugLevel.RESTRICTED}
_ATTACHED: Final = re.compile(r"ok (open|restricted) ([0-9a-f]{8})")


@unique
class Request(StrEnum):
    """What the fixture can be asked to do."""

    POWER_CYCLE = "power cycle"  # supply off until the unit is surely down, then on; reply when it is on
    DEBUG_ATTACH = "debug attach"  # try to attach to the unit's debug port, detach again


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCycled:
    """The supply was off and is on again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """The debug port let the probe in: ``OPEN`` halts and reads memory, ``RESTRICTED`` gives the ID code alone."""

    level: DebugLevel
    idcode: int  # 32 bits, from DPIDR or JTAG's IDCODE


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The debug port did not answer the probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The instrument could not do it. ``why`` is printable ASCII."""

    why: str


Reply = PowerCycled | Attached | Locked | Failed


def encode_request(request: Request) -> bytes:
    """The request as a line."""
    return f"{request}\n".encode()


def parse_request(line: bytes) -> Request:
    """A request, or :class:`FormatError`."""
    text = _text(line)
    try:
        return Request(text)
    except ValueError:
        raise FormatError("unknown request", subject=_SUBJECT, next_step=f"Ask one of: {', '.join(Request)}") from None


def encode_reply(reply: Reply) -> bytes:
    """The reply as a line."""
    match reply:
        case PowerCycled():
            return b"ok power-cycled\n"
        case Attached(level=level, idcode=idcode):
            return f"ok {level.name.lower()} {idcode:08x}\n".encode()
        case Locked():
            return b"ok locked\n"
        case Failed(why=why):
            return f"err {why}\n".encode()


def parse_reply(line: bytes) -> Reply:
    """A reply, or :class:`FormatError`."""
    text = _text(line)
    if text == "ok power-cycled":
        return PowerCycled()
    if text == "ok locked":
        return Locked()
    if text.startswith("err "):
        return Failed(why=text[4:])
    if found := _ATTACHED.fullmatch(text):
        return Attached(level=_LEVELS[found[1]], idcode=int(found[2], 16))
    raise FormatError("not a reply of a bench port", subject=_SUBJECT, next_step="Check which device is on this line")


def _text(line: bytes) -> str:
    text = line.removesuffix(b"\n").removesuffix(b"\r").decode("ascii", errors="replace")
    if not text.isascii() or not text.isprintable() or len(text) > LONGEST_LINE:
        raise FormatError(f"not a line of at most {LONGEST_LINE} printable ASCII characters", subject=_SUBJECT)
    return text
