"""Tiles (c2sp.org/tlog-tiles): a ledger as a finite set of files that never change.

A tile holds up to 256 hashes. Those of level 0 are leaf hashes; each hash of level L + 1 is the root of a full tile of
level L. Entry bundles hold the entries under a tile of level 0, each with its length before it (16 bits, big-endian).
A tile or bundle that is not full carries its width in its path.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Final

from imprint.errors import FormatError
from imprint.formats.merkle import HASH_SIZE, ReadHash, root_hash

WIDTH: Final = 256
HEIGHT: Final = 8  # a full tile is a subtree of this height
MAX_ENTRY_SIZE: Final = 2**16 - 1  # bytes
ENTRIES: Final = "entries"

Level = int | str
ReadTile = Callable[[int, int, int], list[bytes]]


def tile_path(level: Level, index: int, width: int = WIDTH) -> str:
    """Where a tile lies: ``tile/0/x001/234.p/17``. ``level`` is a number, or ``ENTRIES`` for an entry bundle."""
    return f"{_full_path(level, index)}.p/{width}" if width < WIDTH else _full_path(level, index)


def partials_path(level: Level, index: int) -> str:
    """The folder of a tile's partial versions: ``tile/0/x001/234.p``."""
    return f"{_full_path(level, index)}.p"


def tile_width(level: Level, index: int, size: int) -> int:
    """How wide this tile is in a ledger of ``size`` entries: 0 when it has none, up to ``WIDTH``."""
    height = 0 if isinstance(level, str) else level * HEIGHT
    return max(0, min(WIDTH, (size >> height) - index * WIDTH))


def tile_paths(size: int) -> Iterator[str]:
    """Every tile and bundle of a ledger of ``size`` entries, bundles first."""
    levels: list[Level] = [ENTRIES, *range(_levels(size))]
    for level in levels:
        for index in count():
            width = tile_width(level, index, size)
            if not width:
                break
            yield tile_path(level, index, width)


def right_edge(size: int) -> list[tuple[int, int]]:
    """For each level of a ledger of ``size`` entries, from level 0 up: the last tile's index and width, which is below
    ``WIDTH`` and may be 0."""
    return [divmod(size >> level * HEIGHT, WIDTH) for level in range(_levels(size))]


def split_tile(data: bytes, width: int, *, subject: str) -> list[bytes]:
    """The first ``width`` hashes of a tile, or :class:`FormatError` when it holds fewer, or not whole hashes."""
    if len(data) % HASH_SIZE or not width * HASH_SIZE <= len(data) <= WIDTH * HASH_SIZE:
        raise FormatError(f"a tile of {width} hashes was expected", subject=subject)
    return [data[at : at + HASH_SIZE] for at in range(0, width * HASH_SIZE, HASH_SIZE)]


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """An entry bundle. Bundles can be joined end to end. Raises :class:`FormatError` for an entry above
    ``MAX_ENTRY_SIZE``."""
    try:
        return b"".join(part for entry in entries for part in (len(entry).to_bytes(2, "big"), entry))
    except OverflowError as problem:
        raise FormatError(f"an entry is longer than {MAX_ENTRY_SIZE} bytes", subject="entry bundle") from problem


def split_bundle(data: bytes, width: int, *, subject: str) -> list[bytes]:
    """The first ``width`` entries of a bundle, or :class:`FormatError` when it holds fewer, or ends within one."""
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise FormatError("the bundle ends within an entry", subject=subject)
        entries.append(data[at + 2 : end])
        at = end
    if not width <= len(entries) <= WIDTH:
        raise FormatError(f"a bundle of {width} entries was expected", subject=subject)
    return entries[:width]


def hash_reader(read_tile: ReadTile) -> ReadHash:
    """A reader of subtree roots for :mod:`imprint.formats.merkle`. ``read_tile(level, index, width)`` gives at least
    the first ``width`` hashes of a tile."""

    def read(height: int, n: int) -> bytes:
        level, inner = divmod(height, HEIGHT)
        index, start = divmod(n << inner, WIDTH)
        end = start + (1 << inner)
        return root_hash(read_tile(level, index, end)[start:end])

    return read


def _levels(size: int) -> int:
    return -(-size.bit_length() // HEIGHT)


def _full_path(level: Level, index: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return f"tile/{level}/{'/'.join(reversed(groups))}"
