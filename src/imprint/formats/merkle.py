"""Merkle trees over SHA-256 as in RFC 6962 section 2.1: hashes, roots, and proofs that are made and checked.

A hash is 32 bytes. Proofs are made from a function that reads the root of any *complete* subtree: ``read(height, n)``
is the hash over the leaves ``n * 2**height`` up to ``(n + 1) * 2**height``. Proofs are checked by the algorithms of
RFC 9162 sections 2.1.3.2 and 2.1.4.2, which share no code with the makers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from typing import Final

from imprint.errors import InputError, LedgerError

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()

ReadHash = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry's bytes: SHA-256(00 || entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees: SHA-256(01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def root_hash(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, or over the roots of complete subtrees of one size (the last may be incomplete)."""
    row = hashes
    while len(row) > 1:
        pairs = [sha256(b"\x01" + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=False)]
        row = [*pairs, row[-1]] if len(row) % 2 else pairs
    return row[0] if row else EMPTY_ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """All of a tree that appending needs: its size, and the roots of its complete subtrees, largest first."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def extend(self, leaves: Iterable[bytes]) -> "Frontier":
        """The frontier after these leaf hashes."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            node, full = leaf, size
            while full & 1:
                node, full = node_hash(peaks.pop(), node), full >> 1
            peaks.append(node)
            size += 1
        return Frontier(size=size, peaks=tuple(peaks))

    def root(self) -> bytes:
        """The root of the tree so far."""
        return _join(self.peaks)


def range_root(start: int, end: int, read: ReadHash) -> bytes:
    """The root over the leaves ``start`` up to ``end``, where a power of two not below the length divides ``start``."""
    return _join([read(height, n) for height, n in _complete_subtrees(start, end)])


def inclusion_proof(index: int, size: int, read: ReadHash) -> tuple[bytes, ...]:
    """PATH(index, D[size]) of RFC 6962 section 2.1.1, from the leaf's sibling upwards.

    Raises :class:`InputError` when the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise InputError(f"a ledger of {size} entries has no entry {index}", next_step="Count entries from 0")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = start + _left_size(end - start)
        if index < middle:
            path.append(range_root(middle, end, read))
            end = middle
        else:
            path.append(range_root(start, middle, read))
            start = middle
    return tuple(reversed(path))


def consistency_proof(old: int, new: int, read: ReadHash) -> tuple[bytes, ...]:
    """PROOF(old, D[new]) of RFC 6962 section 2.1.2. Empty from size 0 and from a size to itself.

    Raises :class:`InputError` when ``new`` is below ``old``.
    """
    if not 0 <= old <= new:
        raise InputError(f"a ledger cannot go from {old} to {new} entries", next_step="Give the older size first")
    if old in {0, new}:
        return ()
    start, end, path = 0, new, []
    while end != old:
        middle = start + _left_size(end - start)
        if old <= middle:
            path.append(range_root(middle, end, read))
            end = middle
        else:
            path.append(range_root(start, middle, read))
            start = middle
    if start:  # else the old tree is one complete subtree, whose root the verifier has
        path.append(range_root(start, end, read))
    return tuple(reversed(path))


def verify_inclusion(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise :class:`LedgerError` unless the tree of this size and root has this leaf hash at this index."""
    _check_hashes(leaf, root, *proof)
    if not 0 <= index < size:
        raise LedgerError(f"entry {index} cannot be in a ledger of {size} entries", subject="inclusion proof")
    node, position, last = leaf, index, size - 1
    for sibling in proof:
        if not last:
            raise LedgerError("the proof is too long", subject="inclusion proof")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            position, last = _up_to_odd(position, last)
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    if last or node != root:
        raise LedgerError(
            f"entry {index} is not in the ledger of {size} entries with this root",
            subject="inclusion proof",
            next_step="Compare the entry and the checkpoint with another copy of the ledger",
        )


def verify_consistency(*, old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise :class:`LedgerError` unless the new tree begins with the old one.

    Every tree begins with the empty one: from size 0 the proof must be empty and the old root that of the empty tree.
    """
    _check_hashes(old_root, new_root, *proof)
    if not 0 <= old <= new:
        raise LedgerError(f"the ledger went back from {old} to {new} entries", subject="consistency proof")
    if old == 0:
        agrees = not proof and old_root == EMPTY_ROOT and (new > 0 or new_root == EMPTY_ROOT)
    elif old == new:
        agrees = not proof and old_root == new_root
    else:
        agrees = _chain(old, new, old_root, proof) == (old_root, new_root)
    if not agrees:
        raise LedgerError(
            f"the ledger of {new} entries does not begin with the one of {old} entries",
            subject="consistency proof",
            next_step="Keep both checkpoints: together they show that history was rewritten",
        )


def _chain(old: int, new: int, old_root: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    # RFC 9162 section 2.1.4.2: both roots, computed from the same proof.
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return None
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        if not last:
            return None
        if position & 1 or position == last:
            old_node, new_node = node_hash(sibling, old_node), node_hash(sibling, new_node)
            position, last = _up_to_odd(position, last)
        else:
            new_node = node_hash(new_node, sibling)
        position, last = position >> 1, last >> 1
    return None if last else (old_node, new_node)


def _up_to_odd(position: int, last: int) -> tuple[int, int]:
    while position and not position & 1:
        position, last = position >> 1, last >> 1
    return position, last


def _left_size(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


def _complete_subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        height = (end - start).bit_length() - 1
        yield height, start >> height
        start += 1 << height


def _join(peaks: Sequence[bytes]) -> bytes:
    return reduce(lambda right, left: node_hash(left, right), reversed(peaks)) if peaks else EMPTY_ROOT


def _check_hashes(*hashes: bytes) -> None:
    if any(len(value) != HASH_SIZE for value in hashes):
        raise LedgerError(f"a hash must have {HASH_SIZE} bytes", subject="proof")
