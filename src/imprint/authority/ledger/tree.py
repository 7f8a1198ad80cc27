"""The ledger's Merkle tree in its store: appending, the signed head, and proofs.

Invariants, each with a test that breaks it:

- A checkpoint is only written after all that it covers is durable.
- What a checkpoint covers never changes: entries go after the head, or must equal what is there.
- A crash at any write leaves the last checkpoint and everything under it readable; doing it again gives the same tree.
- Nothing is appended to a head that does not verify, or to tiles that do not add up to it.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from imprint.authority.ledger.edge import Edge
from imprint.authority.ledger.tile_store import TileStore
from imprint.errors import InputError, KeyStoreError, LedgerError
from imprint.formats import merkle
from imprint.formats.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint, sign_checkpoint
from imprint.formats.note import Sign, VerifierKey
from imprint.formats.tiles import (
    ENTRIES,
    WIDTH,
    Level,
    encode_bundle,
    hash_reader,
    partials_path,
    right_edge,
    split_bundle,
    split_tile,
    tile_path,
    tile_width,
)

CHECKPOINT: Final = "checkpoint"


class Tree:
    """A ledger's tree. Its origin is the name of ``key``; without ``sign`` it can only be read."""

    def __init__(self, store: TileStore, *, key: VerifierKey, sign: Sign | None = None) -> None:
        self._store = store
        self._key = key
        self._sign = sign

    def head(self) -> SignedCheckpoint | None:
        """The last checkpoint, verified; None before the first one.

        Raises as :func:`imprint.formats.checkpoint.open_checkpoint` does.
        """
        note = self._store.read(CHECKPOINT)
        return None if note is None else open_checkpoint(note, [self._key], origin=self._key.name)

    def integrate(self, first: int, entries: Iterable[bytes]) -> SignedCheckpoint:
        """Make these entries, the first of which has the index ``first``, part of the tree; gives the checkpoint that
        covers them. Entries below the head are compared, so that the same call can be made again after any failure.

        Raises :class:`LedgerError` when an entry differs from the one that is there, when ``first`` would leave a gap,
        or when the tiles do not add up to the head; :class:`KeyStoreError` without a signer.
        """
        if self._sign is None:
            raise KeyStoreError("the ledger was opened for reading only", subject=self._key.name)
        with self._store.lock():
            head = self.head()
            edge = self._load_edge(head)
            old = edge.size
            self._store.write(edge.grow(self._new_entries(first, old, entries)))
            if head is not None and edge.size == old:
                return head
            grown = Checkpoint(origin=self._key.name, size=edge.size, root=edge.root())
            signed = sign_checkpoint(grown, self._key, self._sign)
            self._store.write([(CHECKPOINT, signed.note)])
            self._drop_partials(old, edge.size)
            return signed

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """The proof that entry ``index`` is in the tree of the first ``size`` entries."""
        return merkle.inclusion_proof(index, size, self._reader(size))

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that the tree of the first ``new`` entries begins with the one of the first ``old``."""
        return merkle.consistency_proof(old, new, self._reader(new))

    def leaf_hash_at(self, index: int) -> bytes:
        """The leaf hash of entry ``index``."""
        return self._reader(index + 1)(0, index)

    def root_at(self, size: int) -> bytes:
        """The root over the first ``size`` entries, computed from the tiles."""
        return merkle.range_root(0, size, self._reader(size))

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """The entries ``start`` up to ``end``, each checked against its leaf hash."""
        size = self._size_covering(end)
        for index in range(start // WIDTH, -(-end // WIDTH)):
            base, width = index * WIDTH, min(WIDTH, end - index * WIDTH)
            found = self._read_bundle(index, width, size)
            yield from found[max(0, start - base) :]

    def _reader(self, size: int) -> merkle.ReadHash:
        covering = self._size_covering(size)
        return hash_reader(lambda level, index, width: self._read_tile(level, index, width, covering))

    def _size_covering(self, size: int) -> int:
        head = self.head()
        covered = head.size if head else 0
        if not 0 <= size <= covered:
            raise InputError(f"the ledger has {covered} entries, not {size}", subject=self._key.name)
        return covered

    def _read_tile(self, level: int, index: int, width: int, size: int) -> list[bytes]:
        return split_tile(self._read(level, index, size), width, subject=tile_path(level, index))

    def _read_bundle(self, index: int, width: int, size: int) -> list[bytes]:
        found = split_bundle(self._read(ENTRIES, index, size), width, subject=tile_path(ENTRIES, index))
        if list(map(merkle.leaf_hash, found)) != self._read_tile(0, index, width, size):
            raise LedgerError(
                "the entries are not those of the tree",
                subject=tile_path(ENTRIES, index),
                next_step="Fetch this file again from another copy of the ledger",
            )
        return found

    def _read(self, level: Level, index: int, size: int) -> bytes:
        width = tile_width(level, index, size)
        data = self._store.read(tile_path(level, index, width))
        if data is None and width < WIDTH:  # dropped, since the full tile is there
            data = self._store.read(tile_path(level, index))
        if data is None:
            raise LedgerError(
                "a tile is missing",
                subject=tile_path(level, index, width),
                next_step="Restore it from another copy of the ledger",
            )
        return data

    def _load_edge(self, head: SignedCheckpoint | None) -> Edge:
        if head is None or head.size == 0:
            return Edge()
        rows = [
            self._read_tile(level, index, width, head.size) if width else []
            for level, (index, width) in enumerate(right_edge(head.size))
        ]
        edge = Edge(size=head.size, rows=rows)
        if edge.root() != head.root:
            raise LedgerError(
                "the tiles do not add up to the checkpoint",
                subject=self._key.name,
                next_step="Nothing was appended; restore the tiles from another copy of the ledger",
            )
        index, width = divmod(head.size, WIDTH)
        edge.bundle = encode_bundle(self._read_bundle(index, width, head.size)) if width else b""
        return edge

    def _new_entries(self, first: int, size: int, entries: Iterable[bytes]) -> Iterator[bytes]:
        if not 0 <= first <= size:
            raise LedgerError(
                f"the ledger has {size} entries, so the next one cannot be entry {first}",
                subject=self._key.name,
                next_step="Integrate the entries in between first",
            )
        source = iter(entries)
        for index in range(first // WIDTH, -(-size // WIDTH)):
            leaves = self._read_tile(0, index, min(WIDTH, size - index * WIDTH), size)
            known = leaves[max(0, first - index * WIDTH) :]
            again = list(map(merkle.leaf_hash, islice(source, len(known))))
            if again != known[: len(again)]:
                raise LedgerError(
                    "an entry differs from the one that the ledger has in its place",
                    subject=f"{self._key.name}, entries from {max(first, index * WIDTH)}",
                    next_step="Compare the database with the ledger's tiles; one of them was changed",
                )
        return source

    def _drop_partials(self, old: int, new: int) -> None:
        for level, (index, width) in enumerate(right_edge(old)):
            if width and tile_width(level, index, new) == WIDTH:
                self._store.drop(partials_path(level, index))
                if level == 0:
                    self._store.drop(partials_path(ENTRIES, index))
