"""What a store gives to the authority: reading, and one way to write.

``append`` takes an entry *and* what it changes, so neither can be stored without the other. A transaction is durable
when its context ends without an exception; on an exception nothing of it remains.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from imprint.authority.decisions.changes import Change, Row
from imprint.authority.ledger.envelope import SealedEntry


class Reading(Protocol):
    """A consistent view. Tables and columns are named in ``storage/tables.py``."""

    def get(self, table: str, **key: Any) -> Row | None:
        """The one row with these values, or None. More than one is a :class:`StorageError`."""
        ...

    def find(self, table: str, **where: Any) -> list[Row]:
        """All rows with these values, in the order of the primary key."""
        ...

    def expired_claim(self, lot: str, now: str) -> Row | None:
        """A unit of the lot whose claim is unproven and past its lease at ``now``, the oldest first."""
        ...

    def blob(self, sha256: str) -> bytes:
        """Stored bytes by their hash; :class:`StorageError` when they are missing."""
        ...

    def entry(self, leaf: str) -> tuple[bytes, bytes]:
        """An entry and its opening by leaf hash; :class:`StorageError` when missing."""
        ...

    def index(self, leaf: str) -> int:
        """An entry's place in the log, from 0; :class:`StorageError` when missing."""
        ...

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes, bytes]]:
        """(index, entry, opening) from ``start`` up to, not including, ``stop``."""
        ...

    def size(self) -> int:
        """How many entries are committed."""
        ...


class Transaction(Reading, Protocol):
    """A write in progress."""

    def append(self, sealed: SealedEntry, changes: Sequence[Change], blobs: Sequence[bytes]) -> None:
        """Add the entry at the end and make its changes. Raises :class:`ConflictError` when a change does not find the
        row that it expects or meets a row that must be unique; then the whole transaction is void."""
        ...


class Store(Protocol):
    """Where decisions are kept."""

    def reading(self) -> AbstractContextManager[Reading]:
        """A consistent view that never blocks a writer."""
        ...

    def writing(self) -> AbstractContextManager[Transaction]:
        """The only writer, across processes. Durable on exit. Raises :class:`StorageError`."""
        ...
