"""A store that breaks where it was told to, and nowhere else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imprint.authority.ledger.envelope import SealedEntry, seal
from imprint.errors import StorageError
from imprint.storage.database import Database
from imprint.storage.schema import create_database
from imprint.testing.stores import Break, BreakingStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BreakingStore]:
    create_database(tmp_path / "imprint.db")
    database = Database(tmp_path / "imprint.db")
    yield BreakingStore(database)
    database.close()


def entry(number: int) -> SealedEntry:
    time = "2026-01-01T00:00:00.000Z"
    return seal(type_="t", time=time, actor="a", public={}, private={}, salt=bytes([number]) * 16)


def write(store: BreakingStore, number: int) -> None:
    with store.writing() as transaction:
        transaction.append(entry(number), (), ())


def size(store: BreakingStore) -> int:
    with store.reading() as reading:
        return reading.size()


def test_without_a_break_it_is_the_store_behind_it(store: BreakingStore) -> None:
    write(store, 1)
    write(store, 2)
    assert (size(store), store.writes) == (2, 2)


@pytest.mark.parametrize(("how", "kept"), [(Break.BEFORE, 1), (Break.AFTER, 2)])
def test_the_write_breaks_at_its_number_and_the_next_one_does_not(store: BreakingStore, how: Break, kept: int) -> None:
    store.break_at(2, how)
    write(store, 1)
    with pytest.raises(StorageError, match="write 2 broke on purpose"):
        write(store, 2)
    assert size(store) == kept
    write(store, 3)
    assert size(store) == kept + 1


def test_the_next_write_is_the_one_that_is_begun_next(store: BreakingStore) -> None:
    write(store, 1)
    with store.writing() as transaction:
        store.break_next(Break.BEFORE)
        transaction.append(entry(2), (), ())
    with pytest.raises(StorageError, match="write 3"):
        write(store, 3)
    assert size(store) == 2
