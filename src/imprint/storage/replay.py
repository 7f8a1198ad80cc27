"""Replaying the ledger into an empty database, and comparing it with the one that was found.

The replay makes the very changes that the decisions made. So a row that was altered, removed or added by any other
hand shows as the first row that differs.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from imprint.authority.decisions.changes import Change
from imprint.authority.ledger.envelope import OpenedEntry, open_entry
from imprint.encoding import sha256_hex
from imprint.errors import ConflictError, ImprintError, LedgerError
from imprint.storage.database import apply_changes
from imprint.storage.statements import columns_of, create_sql, select_sql
from imprint.storage.tables import metadata

Progress = Callable[[int], None]

_LEDGER_TABLES: Final = ("entries", "blobs")
STATE_TABLES: Final = tuple(sorted(set(metadata.tables) - set(_LEDGER_TABLES)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay found: the leaf hashes of all entries, in order."""

    leaves: list[bytes]


def replay(path: Path, changes_of: Callable[[OpenedEntry], Sequence[Change]], progress: Progress) -> Replayed:
    """Check every entry, replay all of them, and compare each table.

    Raises :class:`LedgerError` that names the first entry or row that differs. ``progress`` gets the number of
    entries done, now and then.
    """
    found = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    found.text_factory = _lenient
    try:
        found.execute("BEGIN")
        replayed = _empty_database()
        leaves, blobs = _fold(found, replayed, changes_of, progress)
        for table in STATE_TABLES:
            _compare(table, found, replayed)
        _check_blobs(found, blobs)
    except sqlite3.Error as problem:
        raise LedgerError(f"the database cannot be read: {problem}", subject=str(path), next_step=_RESTORE) from problem
    finally:
        found.close()
    return Replayed(leaves=leaves)


def _lenient(text: bytes) -> str:
    """Text that is not UTF-8 differs from what the ledger says, and so its row is named."""
    return text.decode(errors="replace")


_RESTORE: Final = "Keep this database as evidence and restore a backup"


def _empty_database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in create_sql():
        connection.execute(statement)
    connection.execute("BEGIN")
    return connection


def _fold(
    found: sqlite3.Connection,
    replayed: sqlite3.Connection,
    changes_of: Callable[[OpenedEntry], Sequence[Change]],
    progress: Progress,
) -> tuple[list[bytes], set[str]]:
    leaves: list[bytes] = []
    blobs: set[str] = set()
    statement = "SELECT seq, leaf, data, opening FROM entries ORDER BY seq"
    for expected, (seq, leaf, data, opening) in enumerate(found.execute(statement)):
        if seq != expected:
            raise LedgerError("the entry is missing", subject=f"entries row {expected}", next_step=_RESTORE)
        try:
            if not isinstance(data, bytes) or not isinstance(opening, bytes):
                raise LedgerError("the entry is not bytes", subject=f"entries row {seq}")
            entry = open_entry(data, opening, subject=f"entries row {seq}")
            if entry.leaf != leaf:
                raise LedgerError("the leaf hash is not that of the entry", subject=f"entries row {seq}")
            apply_changes(replayed, changes_of(entry))
            blobs.update(entry.private.get("blobs", ()))
        except Exception as problem:  # whoever forges an entry chooses how it fails
            message = problem.what if isinstance(problem, ImprintError) else f"the entry makes no sense: {problem!r}"
            if isinstance(problem, ConflictError):
                message = f"the entry does not follow from those before it: {problem.subject}"
            raise LedgerError(message, subject=f"entries row {seq}", next_step=_RESTORE) from problem
        leaves.append(bytes.fromhex(entry.leaf))
        if seq % 1000 == 0:
            progress(seq)
    return leaves, blobs


def _compare(table: str, found: sqlite3.Connection, replayed: sqlite3.Connection) -> None:
    """Both tables in primary-key order, side by side; raises for the first row that differs."""
    names = columns_of(table)
    key = tuple(column.name for column in metadata.tables[table].primary_key)
    statement = select_sql(table, ())
    for want, have in zip_longest(_rows(replayed, statement, names), _rows(found, statement, names)):
        if want != have:
            subject = _row_name(table, want, have, key)
            raise LedgerError(_difference(want, have, key), subject=subject, next_step=_RESTORE)


_Found = dict[str, Any]


def _rows(connection: sqlite3.Connection, statement: str, names: Sequence[str]) -> Iterator[_Found]:
    for row in connection.execute(statement):
        yield dict(zip(names, row, strict=True))


def _first_of(want: _Found | None, have: _Found | None, key: Sequence[str]) -> _Found:
    if want is None or have is None:
        return want or have or {}
    order = [tuple((type(row[name]).__name__, row[name]) for name in key) for row in (want, have)]
    return want if order[0] <= order[1] else have


def _row_name(table: str, want: _Found | None, have: _Found | None, key: Sequence[str]) -> str:
    row = _first_of(want, have, key)
    return f"{table} row {', '.join(f'{name}={row[name]}' for name in key)}"


def _difference(want: _Found | None, have: _Found | None, key: Sequence[str]) -> str:
    first = _first_of(want, have, key)
    if want is None or (have is not None and first is have and any(want[name] != have[name] for name in key)):
        return "the row has no entry in the ledger"
    if have is None or any(want[name] != have[name] for name in key):
        return "the row is missing"
    column = next(name for name in want if want[name] != have[name])
    return f"{column} is {have[column]!r} where the ledger says {want[column]!r}"


def _check_blobs(found: sqlite3.Connection, expected: set[str]) -> None:
    seen = set()
    for sha256, data in found.execute("SELECT sha256, data FROM blobs ORDER BY sha256"):
        if not isinstance(data, bytes) or sha256_hex(data) != sha256:
            raise LedgerError("the stored bytes have changed", subject=f"blobs row {sha256}", next_step=_RESTORE)
        if sha256 not in expected:
            raise LedgerError("the row has no entry in the ledger", subject=f"blobs row {sha256}", next_step=_RESTORE)
        seen.add(sha256)
    missing = min(expected - seen, default=None)
    if missing is not None:
        raise LedgerError("the row is missing", subject=f"blobs row {missing}", next_step=_RESTORE)
