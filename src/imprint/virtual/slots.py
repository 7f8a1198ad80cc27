"""Two image slots in flash, and the trailer that asks for an upgrade (MCUboot's ``docs/design.md``, "Image trailer").

The trailer ends with its slot: 16 bytes of magic, before them one word each for image_ok, copy_done, swap_info and
swap_size. An overwriting boot loader reads the magic of the secondary slot and nothing else.
"""

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final

from imprint.virtual.flash import BLOCK, ERASED, WORD, Flash

TRAILER_MAGIC: Final = bytes.fromhex("77c295f360d2ef7f3552500f2cb67980")  # for a write alignment of 8
TRAILER_SIZE: Final = len(TRAILER_MAGIC) + 4 * WORD
SLOT_SIZE: Final = 512 * 1024

_SET: Final = b"\x01".ljust(WORD, ERASED)


@unique
class Slot(IntEnum):
    """Which one; the numbers are those of MCUmgr's image group."""

    PRIMARY = 0
    SECONDARY = 1


@dataclass(frozen=True, slots=True)
class Slots:
    """The two slots of a flash."""

    flash: Flash

    @property
    def size(self) -> int:
        """Bytes in one slot."""
        return len(self.flash) // 2

    @property
    def largest_image(self) -> int:
        """Bytes of a slot that an image may take."""
        return self.size - TRAILER_SIZE

    def read(self, slot: Slot, size: int | None = None) -> bytes:
        """The slot's first ``size`` bytes; without a size, all that an image may take."""
        return self.flash.read(slot * self.size, self.largest_image if size is None else size)

    def erase(self, slot: Slot) -> None:
        """Erase the whole slot from its start on, so that the image's header goes first and the trailer last."""
        self.flash.erase(slot * self.size, self.size)

    def write(self, slot: Slot, offset: int, data: bytes) -> None:
        """Program erased cells; ``data`` may end inside a word, which is filled with ones."""
        if offset + len(data) > self.largest_image:
            raise ValueError("the trailer is in the way")
        padded = data + ERASED * (-len(data) % WORD)
        for start in range(0, len(padded), BLOCK):
            self.flash.write(slot * self.size + offset + start, padded[start : start + BLOCK])

    @property
    def is_pending(self) -> bool:
        """Whether the secondary slot's trailer asks for an upgrade."""
        return self.flash.read(self._magic_at, len(TRAILER_MAGIC)) == TRAILER_MAGIC

    @property
    def is_permanent(self) -> bool:
        """Whether the upgrade was asked for without a test run; an overwriting boot loader makes no difference."""
        return self.is_pending and self.flash.read(self._image_ok_at, WORD) == _SET

    def ask_for_upgrade(self, *, permanent: bool) -> bool:
        """Set the trailer. False when a loss of power had left half a trailer: then the slot is erased instead."""
        magic = self.flash.read(self._magic_at, len(TRAILER_MAGIC))
        if magic not in (TRAILER_MAGIC, ERASED * len(TRAILER_MAGIC)):
            self.erase(Slot.SECONDARY)
            return False
        if permanent and self.flash.is_erased(self._image_ok_at, WORD):
            self.flash.write(self._image_ok_at, _SET)
        if magic != TRAILER_MAGIC:
            self.flash.write(self._magic_at, TRAILER_MAGIC)
        return True

    @property
    def _magic_at(self) -> int:
        return 2 * self.size - len(TRAILER_MAGIC)

    @property
    def _image_ok_at(self) -> int:
        return self._magic_at - WORD
