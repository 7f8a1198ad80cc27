"""Where a ledger's tiles lie: so narrow that files, object storage and a store that fails on purpose all fit."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol


class TileStore(Protocol):
    """Named bytes. Paths are those of :mod:`imprint.formats.tiles`, and ``checkpoint``.

    Every method raises :class:`imprint.errors.StorageError` when it fails.
    """

    def read(self, path: str) -> bytes | None:
        """What was last written at ``path``, whole; None when there is nothing."""
        ...

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Write each file whole, in any order; all of them are durable when this returns.

        ``files`` is consumed as it is written and may be longer than memory. After an error any of them may be there,
        each whole. A write to a path that exists replaces it.
        """
        ...

    def drop(self, folder: str) -> None:
        """Remove what lies under ``folder``, if anything. Need not be durable."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """Keep every other writer out, in this process and in others; waits for its turn. Readers need no lock."""
        ...
