"""Replaying: what forged entries and altered rows are called. Every single change of a row is swept elsewhere; here are
those that need a careful hand."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from imprint.assemble import entry_changes
from imprint.authority.ledger.envelope import seal
from imprint.errors import LedgerError
from imprint.storage.replay import STATE_TABLES, replay
from imprint.storage.tables import metadata
from soft_factory import LOT, Factory, new_unit


def run(path: Path) -> list[bytes]:
    return replay(path, entry_changes, lambda _: None).leaves


def alter(factory: Factory, *statements: tuple[str, Sequence[Any]]) -> Path:
    """A copy of the database, altered by another hand."""
    copy = factory.folder.parent / "altered.db"
    copy.unlink(missing_ok=True)
    source, target = sqlite3.connect(factory.database), sqlite3.connect(copy)
    source.backup(target)
    for sql, values in statements:
        target.execute(sql, values)
    target.commit()
    source.close()
    target.close()
    return copy


def difference(path: Path) -> LedgerError:
    with pytest.raises(LedgerError) as caught:
        run(path)
    assert caught.value.subject
    assert "evidence" in caught.value.next_step or "row" in caught.value.subject
    return caught.value


def test_a_good_database_gives_its_leaves(factory: Factory) -> None:
    factory.bench().imprint(new_unit())
    leaves = run(factory.database)
    assert [leaf.hex() for leaf in leaves] == [entry.leaf for entry in factory.entries()]
    assert len(leaves) == 7


def test_every_table_of_the_schema_is_compared() -> None:
    assert {*STATE_TABLES, "entries", "blobs"} == set(metadata.tables)


def test_progress_is_told(factory: Factory) -> None:
    told: list[int] = []
    replay(factory.database, entry_changes, told.append)
    assert told == [0]


FORGED: list[dict[str, Any]] = [
    {"private": {}},
    {"private": {"hardware_id": ["a list"], "epoch": {}, "lot": 1}},
    {"private": {"request": "not an object"}},
    {"private": {"request": {"id": ["list"], "body": None}}},
    {"private": {"contested": {"hardware_id": "no such unit", "epoch": 1}}, "type_": "request.refused"},
    {"private": {"contested": ["x"]}, "type_": "request.refused"},
    {"private": {"before": "nowhere"}},
    {"private": {"first_time": True, "drawn": ["not", "a", "mapping"]}},
    {"private": {"blobs": 7, "request": None}, "type_": "request.refused"},
    {"private": {"blobs": [["unhashable"]]}, "type_": "request.refused"},
    {"private": {}, "type_": "unit.promoted"},
    {"private": {"number": 2**53 - 1, "epoch": 2**53 - 1}, "type_": "unit.scrapped"},
]


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_a_forged_entry_is_named_however_it_fails(factory: Factory, forged: dict[str, Any]) -> None:
    """Whole in itself, with the right hashes: only what it says makes no sense."""
    sealed = seal(**{"type_": "unit.claimed", "time": "t", "actor": "a", "public": {}, "salt": bytes(16), **forged})
    row = ("INSERT INTO entries VALUES (3, ?, ?, ?)", (sealed.leaf.hex(), sealed.data, sealed.opening))
    assert difference(alter(factory, row)).subject == "entries row 3"


def test_a_forged_claim_that_makes_sense_shows_as_rows_that_are_missing(factory: Factory) -> None:
    factory.bench().claim(new_unit())
    claim = factory.entries()[-1]
    private = {**claim.private, "hardware_id": "00" * 8, "serial": "SN-0002", "first_time": False, "request": None}
    sealed = seal(type_=claim.type, time=claim.time, actor="a", public={}, private=private, salt=bytes(16))
    row = ("INSERT INTO entries VALUES (4, ?, ?, ?)", (sealed.leaf.hex(), sealed.data, sealed.opening))
    found = difference(alter(factory, row))
    assert (found.subject, found.what) == (
        f"lots row lot={LOT}",
        "in_work is 1 where the ledger says 2",
    )


@pytest.mark.parametrize(
    ("sql", "subject", "what"),
    [
        ("UPDATE entries SET leaf = 'x' WHERE seq = 1", "entries row 1", "the leaf hash is not that of the entry"),
        ("UPDATE entries SET data = 'text' WHERE seq = 1", "entries row 1", "the entry is not bytes"),
        ("UPDATE entries SET data = 7 WHERE seq = 1", "entries row 1", "the entry is not bytes"),
        ("UPDATE entries SET opening = '{}' WHERE seq = 1", "entries row 1", "the entry is not bytes"),
        ("UPDATE entries SET seq = 9 WHERE seq = 1", "entries row 1", "the entry is missing"),
        ("UPDATE entries SET seq = seq + 1 WHERE seq = 2", "entries row 2", "the entry is missing"),
        ("UPDATE lots SET granted = 4", f"lots row lot={LOT}", "granted is 4 where the ledger says 3"),
        ("UPDATE lots SET lot = 'another'", "lots row lot=another", "the row has no entry in the ledger"),
        ("UPDATE lots SET lot = 'z'", f"lots row lot={LOT}", "the row is missing"),
        ("UPDATE lots SET lot = x'6c'", "lots row lot=b'l'", "the row has no entry in the ledger"),
        ("UPDATE lots SET recipe_name = CAST(x'ff' AS TEXT)", f"lots row lot={LOT}", "recipe_name is '\ufffd'"),
        ("DELETE FROM lots", f"lots row lot={LOT}", "the row is missing"),
        ("DELETE FROM pools WHERE pool = 'mac'", "pools row product=lamp, pool=mac", "the row is missing"),
        ("INSERT INTO products VALUES ('a', 'x')", "products row product=a", "the row has no entry in the ledger"),
        ("INSERT INTO products VALUES ('z', 'x')", "products row product=z", "the row has no entry in the ledger"),
        ("INSERT INTO blobs VALUES ('00', x'00')", "blobs row 00", "the stored bytes have changed"),
        ("UPDATE blobs SET data = x'00'", "blobs row ", "the stored bytes have changed"),
        ("UPDATE blobs SET data = 'text'", "blobs row ", "the stored bytes have changed"),
        ("DELETE FROM blobs", "blobs row ", "the row is missing"),
        ("DROP TABLE units", "altered.db", "cannot be read"),
    ],
)
def test_what_an_altered_row_is_called(factory: Factory, sql: str, subject: str, what: str) -> None:
    found = difference(alter(factory, (sql, ())))
    assert subject in found.subject
    assert what in found.what


def test_a_blob_that_nothing_refers_to(factory: Factory) -> None:
    from imprint.encoding import sha256_hex

    row = ("INSERT INTO blobs VALUES (?, ?)", (sha256_hex(b"smuggled"), b"smuggled"))
    found = difference(alter(factory, row))
    assert (found.subject, found.what) == (
        f"blobs row {sha256_hex(b'smuggled')}",
        "the row has no entry in the ledger",
    )


def test_a_row_that_is_added_where_no_constraint_stands_in_the_way(factory: Factory) -> None:
    """Whoever can write the file can drop its indexes first."""
    unit = new_unit()
    factory.bench().imprint(unit)
    names = ", ".join(column.name for column in metadata.tables["units"].columns if column.name != "epoch")
    path = alter(
        factory,
        ("DROP INDEX uq_live_hardware_id", ()),
        ("DROP INDEX uq_live_serial", ()),
        ("DROP INDEX uq_live_public_key", ()),
        (f"INSERT INTO units ({names}, epoch) SELECT {names}, 2 FROM units", ()),
    )
    assert difference(path).subject == f"units row hardware_id={unit.hardware_id.hex()}, epoch=2"


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "imprint.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerError, match="cannot be read"):
        run(path)
