"""Offline proofs of inclusion (c2sp.org/tlog-proof, version 1): an entry, its index, the Merkle path and the
checkpoint, in one text. The line ``extra`` carries the entry's bytes, from which the verifier computes the leaf hash.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from imprint.encoding import b64, from_b64
from imprint.errors import FormatError
from imprint.formats.checkpoint import SignedCheckpoint, open_checkpoint, parse_count
from imprint.formats.merkle import HASH_SIZE, leaf_hash, verify_inclusion
from imprint.formats.note import VerifierKey

HEADER: Final = "c2sp.org/tlog-proof@v1"
MAX_HASHES: Final = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class TlogProof:
    """The parts of a proof, unchecked. ``checkpoint`` is the signed note as it stands; ``extra`` is None without the
    line."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """The proof's bytes."""
        extra = [] if self.extra is None else [f"extra {b64(self.extra)}"]
        lines = [HEADER, *extra, f"index {self.index}", *(b64(value) for value in self.hashes)]
        return "\n".join(lines).encode() + b"\n\n" + self.checkpoint


def parse_proof(data: bytes) -> TlogProof:
    """A proof from outside, unchecked, or :class:`FormatError`. The checkpoint is parsed when it is verified."""
    head, blank, checkpoint = data.partition(b"\n\n")
    if not blank or not head.isascii():
        raise FormatError("no blank line before the checkpoint", subject="proof", next_step="Check that it is whole")
    header, *lines = head.decode().split("\n")
    if header != HEADER:
        raise FormatError(f"the first line is not {HEADER}", subject="proof")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = from_b64(lines.pop(0).removeprefix("extra "), subject="proof")
    if not lines or not lines[0].startswith("index "):
        raise FormatError("no line with the index", subject="proof")
    index = parse_count(lines.pop(0).removeprefix("index "), subject="proof")
    hashes = tuple(from_b64(line, subject="proof") for line in lines)
    if len(hashes) > MAX_HASHES or any(len(value) != HASH_SIZE for value in hashes):
        raise FormatError(f"not a path of up to {MAX_HASHES} hashes of {HASH_SIZE} bytes", subject="proof")
    return TlogProof(index=index, hashes=hashes, checkpoint=checkpoint, extra=extra)


def verify_proof(proof: TlogProof, entry: bytes, keys: Iterable[VerifierKey], *, origin: str) -> SignedCheckpoint:
    """The verified checkpoint under which ``entry`` is in the ledger ``origin`` at ``proof.index``.

    Raises as :func:`imprint.formats.checkpoint.open_checkpoint` does, and :class:`imprint.errors.LedgerError` when the
    entry is not in the tree.
    """
    checkpoint = open_checkpoint(proof.checkpoint, keys, origin=origin)
    verify_inclusion(
        leaf=leaf_hash(entry), index=proof.index, size=checkpoint.size, proof=proof.hashes, root=checkpoint.root
    )
    return checkpoint
