"""A store that breaks on purpose, in front of any store."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum, unique

from imprint.authority.decisions.transaction import Reading, Store, Transaction
from imprint.errors import StorageError


@unique
class Break(Enum):
    """When a write breaks. Whoever wrote is told the same in both cases."""

    BEFORE = "nothing of it was kept"
    AFTER = "all of it was kept"  # failed, but persisted


class BreakingStore:
    """:class:`imprint.authority.decisions.transaction.Store` that breaks as it is told: the transaction's caller gets a
    :class:`StorageError`. ``writes`` counts the transactions that were begun."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._breaks: dict[int, Break] = {}
        self.writes = 0

    def break_at(self, number: int, how: Break) -> None:
        """Break the write of this number; the first is 1."""
        self._breaks[number] = how

    def break_next(self, how: Break) -> None:
        """Break the next write that is begun."""
        self.break_at(self.writes + 1, how)

    def reading(self) -> AbstractContextManager[Reading]:
        """As the store's own."""
        return self._store.reading()

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """As the store's own, unless it is this one's turn."""
        self.writes += 1
        number, how = self.writes, self._breaks.get(self.writes)
        with self._store.writing() as transaction:
            yield transaction
            if how is Break.BEFORE:
                raise _broken(number)
        if how is Break.AFTER:
            raise _broken(number)


def _broken(number: int) -> StorageError:
    return StorageError(f"write {number} broke on purpose", next_step="Ask again with the same request ID")
