"""Firmware as its maker gives it: a raw binary, or Intel HEX with addresses; out comes the payload of one image.

An image is one range of addresses. What a HEX file holds beyond it (settings that a chip keeps outside its program
flash, for example) would be lost without a word, so it is refused until it is dropped by name.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Final

from intelhex import IntelHex, IntelHexError

from imprint.errors import FormatError

MOST_PAYLOAD: Final = 16 * 1024 * 1024
# Linkers align sections by up to a flash page or two; a hole beyond this is another memory.
MOST_GAP: Final = 64 * 1024
_MOST_HEX_TEXT: Final = 8 * 1024 * 1024  # the HEX reader keeps about 70 bytes of memory for each byte of data
_ADDRESS_SPACE: Final = 2**32
_ERASED: Final = b"\xff"
_SUBJECT: Final = "firmware"

_REGION: Final = re.compile(r"([a-z][a-z0-9-]{0,31})=0x([0-9a-fA-F]{1,8})-0x([0-9a-fA-F]{1,9})", re.ASCII)
_END_OF_FILE: Final = b":00000001FF"
_BLANKS_AND_BOM: Final = b"\xef\xbb\xbf \t\r\n"
_OTHER_FORMATS: Final = {
    b"\x7fELF": ("an ELF file", "Take the binary or HEX file of the same build (objcopy -O binary)"),
    b"UF2\n": ("a UF2 file", "Take the binary or HEX file of the same build"),
    b"S0": ("a file of S-records", "Take the binary or HEX file of the same build"),
    b"\x3d\xb8\xf3\x96": ("an MCUboot image already", "Give the unsigned payload"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A range of addresses with a name, ``start`` up to and without ``end``."""

    name: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.name}={self.start:#x}-{self.end:#x}"


KNOWN_REGIONS: Final = (Region(name="uicr", start=0x10001000, end=0x10002000),)  # nRF51, nRF52


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """``payload`` belongs at ``address`` (None for a raw binary, which does not say). ``dropped`` maps the names of
    dropped regions that held data to the number of bytes dropped."""

    payload: bytes = field(repr=False)
    address: int | None
    dropped: dict[str, int]


def parse_region(text: str) -> Region:
    """``uicr``, or ``name=0xSTART-0xEND`` without END itself; :class:`FormatError` for anything else."""
    for known in KNOWN_REGIONS:
        if text == known.name:
            return known
    found = _REGION.fullmatch(text)
    if found is not None:
        region = Region(name=found[1], start=int(found[2], 16), end=int(found[3], 16))
        if region.start < region.end <= _ADDRESS_SPACE:
            return region
    names = " or ".join(known.name for known in KNOWN_REGIONS)
    raise FormatError("not a region of memory", subject=repr(text), next_step=f"Write {names}, or name=0x1000-0x2000")


def parse_firmware(data: bytes, *, drop: Sequence[Region] = ()) -> Firmware:
    """The payload in a raw binary or Intel HEX file (Intel's specification, revision A, 1988); HEX begins with a colon.

    Holes of up to :data:`MOST_GAP` bytes are filled with 0xFF, as erased flash reads. Regions in ``drop`` that hold no
    data are no error. Raises :class:`FormatError` for a file that is empty, blank, damaged, too large, in another
    format, or that holds data which is neither in the image's range nor dropped.
    """
    if not data.strip(_BLANKS_AND_BOM):
        raise FormatError("the file is empty", subject=_SUBJECT, next_step="Build it again")
    for magic, (what, next_step) in _OTHER_FORMATS.items():
        if data.startswith(magic):
            raise FormatError(f"this is {what}", subject=_SUBJECT, next_step=next_step)
    # The end-of-file record tells a HEX file whose first byte is damaged from a binary, which would be signed as it is.
    if data.lstrip(_BLANKS_AND_BOM).startswith(b":") or _END_OF_FILE in data[-32:].upper():
        firmware = _parse_hex(data, drop)
    else:
        firmware = Firmware(payload=data, address=None, dropped={})
    if len(firmware.payload) > MOST_PAYLOAD:
        raise FormatError(f"{len(firmware.payload)} bytes are more than {MOST_PAYLOAD}", subject=_SUBJECT)
    if not firmware.payload.strip(_ERASED) or not firmware.payload.strip(b"\x00"):
        raise FormatError("every byte is blank", subject=_SUBJECT, next_step="Check which file the build wrote")
    return firmware


def _parse_hex(data: bytes, drop: Sequence[Region]) -> Firmware:
    text = _check_frame(data)
    memory = IntelHex()
    try:
        memory.loadhex(StringIO(text))
    except IntelHexError as problem:
        raise FormatError(f"damaged Intel HEX: {problem}", subject=_SUBJECT, next_step=_BUILD_AGAIN) from None
    segments = [(start, end) for start, end in memory.segments()]
    if segments and segments[-1][1] > _ADDRESS_SPACE:
        raise FormatError("Intel HEX runs past the last address", subject=_SUBJECT, next_step=_BUILD_AGAIN)
    dropped: dict[str, int] = {}
    for region in drop:
        kept = [piece for segment in segments for piece in _outside(segment, region)]
        if lost := _total(segments) - _total(kept):
            dropped[region.name] = dropped.get(region.name, 0) + lost
        segments = kept
    start, end = _one_range(segments)
    payload = bytearray(_ERASED * (end - start))
    for piece_start, piece_end in segments:
        payload[piece_start - start : piece_end - start] = memory.tobinstr(start=piece_start, end=piece_end - 1)
    return Firmware(payload=bytes(payload), address=start, dropped=dropped)


_BUILD_AGAIN: Final = "Build or copy the file again"


def _check_frame(data: bytes) -> str:
    """Exactly one end-of-file record, and it is last: the HEX reader would stop at the first, or do without."""
    if len(data) > _MOST_HEX_TEXT:
        raise FormatError(
            f"{len(data)} bytes of Intel HEX are too many", subject=_SUBJECT, next_step="Give a raw binary instead"
        )
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as problem:
        raise FormatError(
            f"Intel HEX with a byte that is not ASCII at {problem.start}", subject=_SUBJECT, next_step=_BUILD_AGAIN
        ) from None
    lines = text.split()
    ends = [number for number, line in enumerate(lines, 1) if line[7:9] == "01"]
    if ends != [len(lines)]:
        what = f"goes on after its end-of-file record at line {ends[0]}" if ends else "has no end-of-file record"
        raise FormatError(f"Intel HEX {what}", subject=_SUBJECT, next_step=_BUILD_AGAIN)
    return "\n".join(lines)


def _outside(segment: tuple[int, int], region: Region) -> Iterable[tuple[int, int]]:
    start, end = segment
    pieces = ((start, min(end, region.start)), (max(start, region.end), end))
    return [piece for piece in pieces if piece[0] < piece[1]]


def _total(segments: Iterable[tuple[int, int]]) -> int:
    return sum(end - start for start, end in segments)


def _one_range(segments: Sequence[tuple[int, int]]) -> tuple[int, int]:
    if not segments:
        raise FormatError("no data is left for the image", subject=_SUBJECT, next_step="Drop fewer regions")
    ranges = [segments[0]]
    for start, end in segments[1:]:
        if start - ranges[-1][1] > MOST_GAP:
            ranges.append((start, end))
        else:
            ranges[-1] = (ranges[-1][0], end)
    if len(ranges) > 1:
        listed = ", ".join(f"{start:#x}-{end:#x}" for start, end in ranges)
        raise FormatError(
            f"data in {len(ranges)} ranges of memory ({listed}), and an image is one",
            subject=_SUBJECT,
            next_step=f"Drop what is not part of the image by name, for example: --drop-region {_suggestion(ranges)}",
        )
    return ranges[0]


def _suggestion(ranges: Sequence[tuple[int, int]]) -> str:
    start, end = min(ranges, key=lambda found: found[1] - found[0])
    for known in KNOWN_REGIONS:
        if known.start <= start and end <= known.end:
            return known.name
    return str(Region(name="unwanted", start=start, end=end))
