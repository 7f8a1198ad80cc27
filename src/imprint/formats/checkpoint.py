"""Checkpoints (c2sp.org/tlog-checkpoint): a ledger's signed head. The note's text is the origin, the size in decimal
and the root in base64, a line each; extension lines may follow.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from imprint.encoding import b64, from_b64
from imprint.errors import FormatError, LedgerError
from imprint.formats.merkle import EMPTY_ROOT, HASH_SIZE
from imprint.formats.note import Sign, VerifierKey, open_note, sign_note

MAX_SIZE: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A ledger's name, how many entries it has, and the root over them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def encode(self) -> str:
        """The note's text."""
        return "".join(f"{line}\n" for line in (self.origin, str(self.size), b64(self.root), *self.extensions))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint(Checkpoint):
    """A checkpoint whose signature has been verified. ``note`` holds the signed bytes, cosignatures included."""

    note: bytes


def parse_checkpoint(text: str) -> Checkpoint:
    """A checkpoint from a note's text, or :class:`FormatError`."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() or not all(lines):
        raise FormatError("three lines that are not empty were expected", subject="checkpoint")
    origin, size, encoded, *extensions = lines
    root = from_b64(encoded, subject="checkpoint")
    if len(root) != HASH_SIZE:
        raise FormatError(f"a root has {HASH_SIZE} bytes", subject="checkpoint")
    count = parse_count(size, subject="checkpoint")
    if (count == 0) != (root == EMPTY_ROOT):
        raise FormatError("the root does not fit the size", subject="checkpoint")
    return Checkpoint(origin=origin, size=count, root=root, extensions=tuple(extensions))


def parse_count(text: str, *, subject: str) -> int:
    """A size or index: ASCII decimal without a leading zero, below 2**63. Raises :class:`FormatError`."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or str(int(text)) != text or int(text) > MAX_SIZE:
        raise FormatError("a decimal number without leading zeros was expected", subject=subject)
    return int(text)


def sign_checkpoint(checkpoint: Checkpoint, key: VerifierKey, sign: Sign) -> SignedCheckpoint:
    """The checkpoint signed. Raises as :func:`imprint.formats.note.sign_note` and :func:`parse_checkpoint` do, so that
    what cannot be opened is never published."""
    return open_checkpoint(sign_note(checkpoint.encode(), key, sign), [key], origin=checkpoint.origin)


def open_checkpoint(data: bytes, keys: Iterable[VerifierKey], *, origin: str) -> SignedCheckpoint:
    """The checkpoint of the ledger ``origin``, signed by one of ``keys``.

    Raises as :func:`imprint.formats.note.open_note` does, :class:`FormatError` for a note that is not a checkpoint, and
    :class:`LedgerError` for the checkpoint of another ledger.
    """
    found = parse_checkpoint(open_note(data, keys))
    if found.origin != origin:
        raise LedgerError(f"this is a checkpoint of {found.origin!r}", subject=origin)
    return SignedCheckpoint(
        origin=found.origin, size=found.size, root=found.root, extensions=found.extensions, note=data
    )
