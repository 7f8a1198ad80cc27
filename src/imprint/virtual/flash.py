"""NOR flash with erase blocks, aligned writes, and a supply that can fail between any two operations."""

import mmap
from pathlib import Path
from typing import Final

from imprint.virtual.whole_file import write_whole

BLOCK: Final = 4096  # bytes erased at once
WORD: Final = 8  # bytes written at once
ERASED: Final = b"\xff"

Cells = bytearray | mmap.mmap


class PowerLost(Exception):
    """The supply failed in the middle of an operation; what was done before is in the cells."""


class Supply:
    """Current for flash operations: as many as are asked for, or only so many more when it is about to fail.

    Writing one word takes one operation, erasing a block two: a block can be left half erased.
    """

    def __init__(self, lasts: int | None = None) -> None:
        self.lasts = lasts

    def draw(self, wanted: int) -> int:
        """How many of ``wanted`` operations can be done."""
        if self.lasts is None:
            return wanted
        granted = min(wanted, self.lasts)
        self.lasts -= granted
        return granted


class Flash:
    """Bytes that are erased to ones in blocks and written in words, each word once between two erasures.

    Raises :class:`PowerLost` where the supply ends, and ``ValueError`` when the firmware breaks the rules of the part.
    """

    def __init__(self, cells: Cells, supply: Supply) -> None:
        self._cells = cells
        self._supply = supply

    def __len__(self) -> int:
        return len(self._cells)

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``."""
        self._check_range(offset, size)
        return bytes(self._cells[offset : offset + size])

    def is_erased(self, offset: int, size: int) -> bool:
        """Whether all of these bytes read as ones."""
        return self.read(offset, size).count(ERASED) == size

    def write(self, offset: int, data: bytes) -> None:
        """Program erased, whole words."""
        self._check_range(offset, len(data))
        if offset % WORD or len(data) % WORD:
            raise ValueError(f"a write of {len(data)} bytes at {offset:#x} is not aligned to {WORD}")
        if not self.is_erased(offset, len(data)):
            raise ValueError(f"a write at {offset:#x} to cells that are not erased")
        words = len(data) // WORD
        granted = self._supply.draw(words)
        self._cells[offset : offset + granted * WORD] = data[: granted * WORD]
        if granted < words:
            raise PowerLost

    def erase(self, offset: int, size: int) -> None:
        """Erase whole blocks, from the lowest on."""
        self._check_range(offset, size)
        if offset % BLOCK or size % BLOCK:
            raise ValueError(f"an erasure of {size} bytes at {offset:#x} is not aligned to {BLOCK}")
        half = BLOCK // 2
        halves = size // half
        granted = self._supply.draw(halves)
        self._cells[offset : offset + granted * half] = ERASED * (granted * half)
        if granted < halves:
            raise PowerLost

    def _check_range(self, offset: int, size: int) -> None:
        if not 0 <= offset <= offset + size <= len(self._cells):
            raise ValueError(f"{size} bytes at {offset:#x} are outside of a flash of {len(self._cells)} bytes")


def open_cells(path: Path, size: int) -> Cells:
    """The cells of a part of ``size`` bytes, kept in a file; a new file is an erased part."""
    if not path.exists():
        write_whole(path, ERASED * size)
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), size)
