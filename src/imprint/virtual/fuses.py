"""One-time fuses: bits that go from 0 to 1 and stay there."""

from dataclasses import dataclass
from typing import Final

from imprint.encoding import sha256
from imprint.formats.provisioning_group import DebugLevel

_HASH: Final = slice(0, 32)
_KEY_SIZE: Final = slice(32, 34)
_KEY_AT: Final = 34
_KEY_ROOM: Final = 128
_DEBUG_AT: Final = _KEY_AT + _KEY_ROOM  # bit 0: restricted, bit 1: locked; the higher one counts
SIZE: Final = _DEBUG_AT + 1


@dataclass(frozen=True, slots=True)
class Fuses:
    """The fuse array: boot-key hash, boot key, debug level. Burning gives a new value, in which no 1 became a 0."""

    bits: bytes = bytes(SIZE)

    def burned(self, offset: int, data: bytes) -> "Fuses":
        """The array after burning the ones of ``data`` from ``offset`` on."""
        mask = data.rjust(offset + len(data), b"\0").ljust(len(self.bits), b"\0")
        return Fuses(bytes(old | new for old, new in zip(self.bits, mask, strict=True)))

    @property
    def boot_key_hash(self) -> bytes:
        """SHA-256 of the boot key's SubjectPublicKeyInfo; empty while blank."""
        found = self.bits[_HASH]
        return found if any(found) else b""

    @property
    def boot_key(self) -> bytes | None:
        """The boot key's SubjectPublicKeyInfo (DER), or None while blank."""
        size = int.from_bytes(self.bits[_KEY_SIZE], "big")
        return self.bits[_KEY_AT : _KEY_AT + size] if self.boot_key_hash else None

    def with_boot_key(self, spki: bytes) -> "Fuses":
        """The array with this boot key; the fuses must be blank or hold the same key."""
        size = len(spki).to_bytes(2, "big")
        return self.burned(0, sha256(spki) + size + spki)

    @property
    def debug(self) -> DebugLevel:
        """The level that takes hold at the next power cycle."""
        return DebugLevel(self.bits[_DEBUG_AT].bit_length())

    def with_debug(self, level: DebugLevel) -> "Fuses":
        """The array with at least this level."""
        return self.burned(_DEBUG_AT, bytes([(1 << level) >> 1]))
