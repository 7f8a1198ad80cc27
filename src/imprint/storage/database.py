"""SQLite behind the authority's one transaction.

WAL with synchronous=FULL: a commit that returned survives a power cut. One writer at a time, across processes
(``BEGIN IMMEDIATE``); readers see a consistent view and never wait for it.
"""

import os
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from imprint.authority.decisions.changes import Change, Insert, Row, Update
from imprint.authority.ledger.envelope import SealedEntry
from imprint.encoding import sha256_hex
from imprint.errors import ConflictError, StorageError
from imprint.storage.statements import columns_of, insert_sql, select_sql, update_sql

BUSY_SECONDS: Final = 30.0
CACHED_STATEMENTS: Final = 256
CACHE_KIB: Final = 64 << 10  # of pages; keys are random, so each decision touches pages all over the file
WAL_PAGES: Final = 16_000  # 64 MiB: the more of it is copied at once, the more often a page's copy serves many commits
IDLE_READERS: Final = 8

_File = tuple[int, int, int]  # inode, time of the last change, size


class Database:
    """An existing database file. Raises :class:`StorageError` when it cannot be opened."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._writer: sqlite3.Connection | None = None
        self._readers: list[tuple[_File, sqlite3.Connection]] = []  # idle, each with the file that it has open
        weakref.finalize(self, _close_all, self._readers)

    @contextmanager
    def reading(self) -> Iterator["SqlReading"]:
        """A consistent view, on a connection that nobody else uses meanwhile."""
        with database_errors(self._path):
            file, connection = self._reader()
            try:
                connection.execute("BEGIN")
                yield SqlReading(connection)
                connection.execute("ROLLBACK")
            except BaseException:
                connection.close()
                raise
            if len(self._readers) < IDLE_READERS:
                self._readers.append((file, connection))
            else:
                connection.close()

    def _reader(self) -> tuple[_File, sqlite3.Connection]:
        """An idle connection, or a new one: never one whose file somebody has replaced or rewritten since. (What is
        decided goes to the write-ahead log; it reaches the file at times, and then a new connection costs little.)"""
        stat = self._path.stat()
        file = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        while True:
            try:
                known, connection = self._readers.pop()
            except IndexError:
                return file, self._connect()
            if known == file:
                return file, connection
            connection.close()

    @contextmanager
    def writing(self) -> Iterator["SqlTransaction"]:
        """The only writer; use it from one thread. Durable when the context ends without an exception."""
        with database_errors(self._path):
            if self._writer is None:
                self._writer = self._connect()
            connection = self._writer
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield SqlTransaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close all connections that are not in use."""
        _close_all(self._readers)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self._read_only else "rw"
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=CACHED_STATEMENTS,
        )
        connection.execute("PRAGMA foreign_keys = ON")
        if not self._read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        return connection


def copy_database(source: Path, target: Path) -> None:
    """Make ``target``, which is new, a copy of the database as one transaction sees it, while others go on writing
    (SQLite's online backup, in one step: with more it would begin again at each commit). Its name is only durable after
    its folder was synced.

    The copy is one file, mode 0600, without a write-ahead log: it can be read where nothing can be written.
    """
    with database_errors(target):
        target.touch(mode=0o600, exist_ok=False)
        live = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        with closing(live), closing(sqlite3.connect(target, isolation_level=None)) as copy:
            live.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        with target.open("rb") as file:
            os.fsync(file.fileno())


def begin_log(path: Path) -> None:
    """Give a database file the write-ahead log that a workspace's has; it stays with the file."""
    with database_errors(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _close_all(readers: list[tuple[_File, sqlite3.Connection]]) -> None:
    while readers:
        readers.pop()[1].close()


class SqlReading:
    """:class:`imprint.authority.decisions.transaction.Reading` on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, table: str, **key: Any) -> Row | None:
        rows = self.find(table, **key)
        if len(rows) > 1:
            raise StorageError(f"{len(rows)} rows where one was expected", subject=f"{table} {key}")
        return rows[0] if rows else None

    def find(self, table: str, **where: Any) -> list[Row]:
        names = columns_of(table)
        rows = self._connection.execute(select_sql(table, tuple(where)), tuple(where.values())).fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def expired_claim(self, lot: str, now: str) -> Row | None:
        found = self._connection.execute(
            "SELECT hardware_id, epoch FROM units WHERE lot = ? AND state = 'claimed' AND lease_until < ? "
            "ORDER BY lease_until LIMIT 1",
            (lot, now),
        ).fetchone()
        return self.get("units", hardware_id=found[0], epoch=found[1]) if found else None

    def blob(self, sha256: str) -> bytes:
        found = self._connection.execute("SELECT data FROM blobs WHERE sha256 = ?", (sha256,)).fetchone()
        if found is None:
            raise StorageError("stored bytes are missing", subject=f"blobs {sha256}", next_step=_VERIFY)
        data: bytes = found[0]
        return data

    def entry(self, leaf: str) -> tuple[bytes, bytes]:
        found = self._connection.execute("SELECT data, opening FROM entries WHERE leaf = ?", (leaf,)).fetchone()
        if found is None:
            raise StorageError("an entry is missing", subject=f"entries {leaf}", next_step=_VERIFY)
        return found[0], found[1]

    def index(self, leaf: str) -> int:
        found = self._connection.execute("SELECT seq FROM entries WHERE leaf = ?", (leaf,)).fetchone()
        if found is None:
            raise StorageError("an entry is missing", subject=f"entries {leaf}", next_step=_VERIFY)
        return int(found[0])

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes, bytes]]:
        last = 2**62 if stop is None else stop
        return iter(
            self._connection.execute(
                "SELECT seq, data, opening FROM entries WHERE seq >= ? AND seq < ? ORDER BY seq", (start, last)
            )
        )

    def size(self) -> int:
        found = self._connection.execute("SELECT seq FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
        return 0 if found is None else int(found[0]) + 1


class SqlTransaction(SqlReading):
    """:class:`imprint.authority.decisions.transaction.Transaction` on the writing connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._next = self.size()

    def append(self, sealed: SealedEntry, changes: Sequence[Change], blobs: Sequence[bytes]) -> None:
        for data in blobs:
            self._connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (sha256_hex(data), data))
        self._connection.execute(
            "INSERT INTO entries VALUES (?, ?, ?, ?)",
            (self._next, sealed.leaf.hex(), sealed.data, sealed.opening),
        )
        self._next += 1
        apply_changes(self._connection, changes)


def apply_changes(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Make the changes in their order. :class:`ConflictError` when one does not find, or meets, its row."""
    for change in changes:
        try:
            if isinstance(change, Insert):
                row = change.row
                connection.execute(insert_sql(change.table), [row[name] for name in columns_of(change.table)])
            else:
                _update(connection, change)
        except sqlite3.IntegrityError as problem:
            raise ConflictError(
                "a rule of the database refuses this change", subject=f"{change.table}: {problem}", next_step=_VERIFY
            ) from problem


def _update(connection: sqlite3.Connection, change: Update) -> None:
    where = {**change.key, **change.expect}
    statement = update_sql(change.table, tuple(change.set), tuple(change.add), tuple(where))
    cursor = connection.execute(statement, (*change.set.values(), *change.add.values(), *where.values()))
    if cursor.rowcount != 1:
        raise ConflictError("the row is not as expected", subject=f"{change.table} {dict(where)}", next_step=_VERIFY)


_VERIFY: Final = "Run 'imprint ledger verify'"

_NEXT_STEPS: Final = (
    ("full", "Free some disk space and run the command again: nothing that was acknowledged is lost"),
    ("readonly", "Make the workspace writable for this user"),
    ("unable to open", "Check that the folder is an Imprint workspace and that this user may write to it"),
    ("locked", "Another process has been writing for too long; stop it, then try again"),
    ("malformed", "Restore the database from a backup, then run 'imprint ledger verify'"),
    ("not a database", "Restore the database from a backup, then run 'imprint ledger verify'"),
    ("no such table", "Restore the database from a backup, then run 'imprint ledger verify'"),
    ("disk I/O", "The disk may be full or failing. Free some space or check it; nothing that was acknowledged is lost"),
)


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says about the database at ``path`` into a :class:`StorageError` with what to do about it."""
    try:
        yield
    except sqlite3.Error as problem:
        text = str(problem)
        steps = (step for word, step in _NEXT_STEPS if word in text)
        raise StorageError(f"the database says: {text}", subject=str(path), next_step=next(steps, "")) from problem
    except OSError as problem:
        raise StorageError(problem.strerror or "the file system failed", subject=str(path)) from problem
