"""The right edge of a growing tree, in tiles. Pure: entries in, files out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from imprint.formats.merkle import leaf_hash, root_hash
from imprint.formats.tiles import ENTRIES, HEIGHT, WIDTH, encode_bundle, right_edge, tile_path


@dataclass(slots=True, kw_only=True)
class Edge:
    """What appending needs: the size, for each level the hashes in its last tile, and the last bundle. A tile that is
    full is never part of the edge."""

    size: int = 0
    rows: list[list[bytes]] = field(default_factory=lambda: [[]])
    bundle: bytes = b""

    def grow(self, entries: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
        """Append the entries; gives each file as soon as it is full, and at the end those that stay partial.

        The edge is only of use after the last file was taken. Raises :class:`imprint.errors.FormatError` for an entry
        that is too long.
        """
        old, source = self.size, iter(entries)
        while chunk := list(islice(source, WIDTH - self.size % WIDTH)):
            self.bundle += encode_bundle(chunk)
            self.rows[0] += map(leaf_hash, chunk)
            self.size += len(chunk)
            if self.size % WIDTH == 0:
                yield tile_path(ENTRIES, self.size // WIDTH - 1), self.bundle
                self.bundle = b""
                yield from self._carry()
        if self.bundle and self.size > old:
            yield tile_path(ENTRIES, *divmod(self.size, WIDTH)), self.bundle
        for level, (index, width) in enumerate(right_edge(self.size)):
            if width and self.size >> level * HEIGHT > old >> level * HEIGHT:
                yield tile_path(level, index, width), b"".join(self.rows[level])

    def root(self) -> bytes:
        """The root over all entries so far."""
        rest: list[bytes] = []
        for row in self.rows:
            hashes = [*row, *rest]
            rest = [root_hash(hashes)] if hashes else []
        return root_hash(rest)

    def _carry(self) -> Iterator[tuple[str, bytes]]:
        level = 0
        while len(self.rows[level]) == WIDTH:
            yield tile_path(level, (self.size >> level * HEIGHT) // WIDTH - 1), b"".join(self.rows[level])
            if level + 1 == len(self.rows):
                self.rows.append([])
            self.rows[level + 1].append(root_hash(self.rows[level]))
            self.rows[level] = []
            level += 1
