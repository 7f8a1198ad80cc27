"""The migrations make exactly the schema of ``tables.py``, as SQLite itself and as Alembic see it."""

import re
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from imprint.errors import StorageError
from imprint.storage.schema import HEAD, create_database, migrate, schema_version
from imprint.storage.statements import create_sql
from imprint.storage.tables import metadata

Schema = dict[str, list[str]]


def schema_of(database: sqlite3.Connection) -> Schema:
    """Each table and index by name, its lines in one order: SQLite keeps the text of each, Alembic sorts constraints in
    its own way."""
    found = database.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
    ).fetchall()
    database.close()
    return {name: sorted(re.sub(r"\s+", " ", line).strip(" ,") for line in sql.splitlines()) for name, sql in found}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "imprint.db"
    create_database(made)
    return made


def from_tables() -> Schema:
    database = sqlite3.connect(":memory:")
    for statement in create_sql():
        database.execute(statement)
    return schema_of(database)


def test_sqlite_sees_no_difference(path: Path) -> None:
    assert schema_of(sqlite3.connect(path)) == from_tables()
    assert len(from_tables()) == len(metadata.tables) + sum(len(table.indexes) for table in metadata.tables.values())


def test_alembic_sees_no_difference(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX uq_live_serial",
        "ALTER TABLE units ADD COLUMN colour TEXT",
        "ALTER TABLE lots DROP COLUMN recipe_name",
    ],
)
def test_negative_control_a_difference_is_seen(path: Path, change: str) -> None:
    database = sqlite3.connect(path)
    database.execute(change)
    assert schema_of(database) != from_tables()


def test_a_new_database_is_its_owners_alone(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert schema_version(path) == HEAD
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def test_migrating_again_changes_nothing(path: Path) -> None:
    before = schema_of(sqlite3.connect(path))
    migrate(path)
    assert schema_of(sqlite3.connect(path)) == before


def test_a_database_is_never_made_over_another(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(StorageError, match="cannot be made"):
        create_database(path)
    assert path.read_bytes() == before


def test_no_database_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be made"):
        create_database(tmp_path / "missing" / "imprint.db")


@pytest.mark.parametrize("content", [None, b"", b"not a database" * 100])
def test_the_version_of_what_is_no_imprint_database(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "imprint.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageError) as caught:
        schema_version(path)
    assert caught.value.subject == str(path)
    assert caught.value.next_step
