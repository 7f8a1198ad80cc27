"""Creating the database and moving it to this version's schema (Alembic)."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from imprint.errors import StorageError
from imprint.storage.database import begin_log, database_errors

HEAD: Final = "0001"
_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def create_database(path: Path) -> None:
    """Make a new database with all tables, mode 0600. Raises :class:`StorageError`, also when the file exists."""
    try:
        path.touch(mode=0o600, exist_ok=False)
        begin_log(path)
        migrate(path)
    except (OSError, sqlite3.Error, SQLAlchemyError) as problem:
        raise StorageError(f"the database cannot be made: {problem}", subject=str(path)) from problem


def migrate(path: Path) -> None:
    """Bring an existing database to this version's schema, in one transaction."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    engine = create_engine(f"sqlite:///{path.absolute()}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)
    engine.dispose()


def schema_version(path: Path) -> str:
    """The version that the database says it has. Raises :class:`StorageError` when it cannot be read."""
    with database_errors(path), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return ",".join(sorted(row[0] for row in rows))
