"""Every kind of single change to a workspace, made by another hand: ``verify_ledger`` fails and names what was changed.

One workspace is built and copied for each change. It has more than 256 entries, so that its ledger has full and partial
tiles on two levels, and at least one row in every table.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, LargeBinary, Table, Text

from imprint.authority.access.account import Role
from imprint.authority.ledger.tree import Tree
from imprint.authority.production.commands import CloseLotUnder
from imprint.errors import ImprintError, LedgerError
from imprint.formats.merkle import leaf_hash
from imprint.formats.tiles import encode_bundle, split_bundle, tile_paths
from imprint.protocol.commands import ClearUnit, InviteAccount, RefundUnits, ReworkUnit, ScrapUnit, SignCrl
from imprint.reader import open_reader
from imprint.storage.tables import metadata
from imprint.storage.tile_folder import TileFolder
from imprint.verify_ledger import verify_ledger
from soft_factory import LOT, SIGNERS, Factory, copied_factory, enrol_account, new_unit

Row = dict[str, Any]
UNITS = 64
COPY = "imprint-checkpoint"
BEFORE_THE_FIRST = -1


@pytest.fixture(scope="module")
def good(factory_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "workspace"
    with copied_factory(factory_template, folder) as factory:
        copy = factory.keep_copy()
        fill(factory)
    copy.rename(folder / COPY)
    settings = folder / "imprint.toml"
    settings.write_text(settings.read_text().replace(f"../{COPY}", COPY))
    database = sqlite3.connect(folder / "imprint.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.execute("PRAGMA journal_mode = DELETE")
    database.close()
    return folder


def fill(factory: Factory) -> None:
    enrol_account(factory, "bench-9", Role.STATION)
    factory.platform.command(InviteAccount(name="bench-9", role="station", code="0" * 64, hours=1))
    factory.add_lot("lot-2", count=UNITS + 1)
    bench = factory.bench(lot="lot-2")
    for number in range(UNITS):
        if number == UNITS - 3:
            factory.platform.checkpoint()
        bench.imprint(new_unit())
    small = factory.bench()
    small.to("quarantined", new_unit())
    small.to("certified", stuck := new_unit())
    factory.bench("bench-2").take_over(stuck)
    factory.bench("bench-3").clone(stuck)
    factory.platform.command(ClearUnit(serial=factory.unit(stuck)["serial"], reason="looked at"))
    factory.platform.command(ScrapUnit(serial=factory.unit(stuck)["serial"], reason="burnt"))
    factory.platform.command(RefundUnits(lot=LOT, count=1, reason="in my hand"))
    bench.imprint(reworked := new_unit())
    factory.platform.command(ReworkUnit(serial=factory.unit(reworked)["serial"], reason="antenna"))
    bench.imprint(reworked)
    factory.platform.command(SignCrl(days=7))
    checkpoint = factory.platform.checkpoint()
    for lot in (LOT, "lot-2"):
        factory.platform.command(CloseLotUnder(lot=lot, checkpoint=checkpoint.note))
    factory.platform.checkpoint()


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "workspace")


def finding(folder: Path) -> ImprintError:
    with pytest.raises(ImprintError) as caught:
        verify_ledger(open_reader(folder))
    return caught.value


def alter(folder: Path, sql: str, values: tuple[Any, ...] = ()) -> None:
    """As whoever can write the file: constraints and indexes are no obstacle."""
    database = sqlite3.connect(folder / "imprint.db")
    for (index,) in database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall():
        database.execute(f"DROP INDEX {index}")
    database.execute("PRAGMA ignore_check_constraints = ON")
    assert database.execute(sql, values).rowcount == 1
    database.commit()
    database.close()


def a_row(folder: Path, table: Table) -> Row:
    """One from the middle, with as many values in it as there are."""
    database = sqlite3.connect(folder / "imprint.db")
    database.row_factory = sqlite3.Row
    rows = [dict(row) for row in database.execute(f"SELECT * FROM {table.name}")]
    database.close()
    assert rows, f"no row in {table.name}: nothing would be tested"
    full = max(sum(value is not None for value in row.values()) for row in rows)
    fullest = [row for row in rows if sum(value is not None for value in row.values()) == full]
    return fullest[len(fullest) // 2]


def where(table: Table) -> str:
    return " AND ".join(f"{column.name} = ?" for column in table.primary_key)


def key(table: Table, row: Row) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.primary_key)


def name_of(table: Table, row: Row) -> str:
    if table.name == "entries":
        return f"entries row {row['seq']}"
    if table.name == "blobs":
        return f"blobs row {row['sha256']}"
    return f"{table.name} row {', '.join(f'{column.name}={row[column.name]}' for column in table.primary_key)}"


def other(column: Column[Any], value: Any) -> list[Any]:
    """Values that differ from this one as little as they can, and in kind."""
    if isinstance(column.type, LargeBinary):
        return [value[:-1] + bytes([value[-1] ^ 1]), value[:-1], b"", "text"]
    if isinstance(column.type, Text):
        text = str(value or "")
        flipped = text[:-1] + "~" if text else "x"
        return [flipped, text + "x", "", text.encode(), *([None] if column.nullable else [])]
    if column.primary_key:
        return [value + 10**6, BEFORE_THE_FIRST]
    return [value + 1, value - 1, -value - 1, "text", 2**62]


COLUMNS = [
    pytest.param(table, column, id=f"{table.name}.{column.name}")
    for table in metadata.sorted_tables
    for column in table.columns
]


def test_the_workspace_is_good_and_has_all_kinds_of_rows_and_files(good: Path) -> None:
    found = verify_ledger(open_reader(good))
    assert found.integrated == found.committed > 256
    database = sqlite3.connect(good / "imprint.db")
    counts = {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in metadata.tables}
    states = {state for (state,) in database.execute("SELECT state FROM units")}
    nulls = [name for name in metadata.tables for row in [a_row(good, metadata.tables[name])] if None in row.values()]
    database.close()
    assert all(counts.values()), counts
    assert states == {"complete", "quarantined", "scrapped", "superseded"}
    assert nulls == ["lots"], "only 'diagnostic' has no value in any row"
    kinds = {str(path.relative_to(good / "ledger")).split("/")[0] for path in ledger_files(good)}
    assert kinds == {"tile", "checkpoint", "vkey"}
    assert len(list((good / "ledger" / "tile" / "0" / "001.p").iterdir())) == 2, "an older partial tile is there too"


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_changed_value(good: Path, copy: Path, table: Table, column: Column[Any]) -> None:
    row = a_row(good, table)
    for value in other(column, row[column.name]):
        if value == row[column.name]:
            continue
        shutil.copy(good / "imprint.db", copy)
        alter(copy, f"UPDATE {table.name} SET {column.name} = ? WHERE {where(table)}", (value, *key(table, row)))
        found = finding(copy)
        assert isinstance(found, LedgerError)
        names = {name_of(table, row), name_of(table, {**row, column.name: value})}
        # An entry that stands before the first is not there to begin with.
        assert found.subject in names | ({"entries row 0"} if value == BEFORE_THE_FIRST else set())


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_a_removed_row(copy: Path, table: Table) -> None:
    row = a_row(copy, table)
    alter(copy, f"DELETE FROM {table.name} WHERE {where(table)}", key(table, row))
    found = finding(copy)
    assert isinstance(found, LedgerError)
    assert found.subject == name_of(table, row)


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_an_added_row(good: Path, copy: Path, table: Table) -> None:
    row = a_row(copy, table)
    for column in table.primary_key:
        row[column.name] = 10**6 if not isinstance(column.type, Text) else f"{row[column.name]}x"
    if table.name == "entries":
        row["leaf"] = "00" * 32
    columns = ", ".join(row)
    marks = ", ".join("?" * len(row))
    alter(copy, f"INSERT INTO {table.name} ({columns}) VALUES ({marks})", tuple(row.values()))
    found = finding(copy)
    assert isinstance(found, LedgerError)
    if table.name == "entries":  # it stands far behind the last one, and what is named is the first that is missing
        row["seq"] = verify_ledger(open_reader(good)).committed
    assert found.subject == name_of(table, row)


def ledger_files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in (folder / "ledger").rglob("*") if path.is_file() and path.name != ".lock")


def damages(name: str, data: bytes, *, needed: bool) -> Iterator[bytes | None]:
    """One byte changed at the beginning, in the middle and at the end; and, of what must be there, a byte or all of it
    gone. A line end after a key says nothing."""
    content = data.rstrip() if name == "ledger/vkey" else data
    for at in (0, len(content) // 2, len(content) - 1):
        yield content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    if needed:
        yield content[:-1]
        yield None


def test_one_byte_of_each_file(good: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(good, tmp_path / "workspace")
    needed = {
        f"ledger/{path}" for path in ("vkey", "checkpoint", *tile_paths(verify_ledger(open_reader(good)).integrated))
    }
    names = [str(path.relative_to(good)) for path in ledger_files(good)]
    assert needed < set(names)
    for name in (*names, COPY):
        data = (good / name).read_bytes()
        for damaged in damages(name, data, needed=name in needed):
            if damaged is None:
                (copy / name).unlink()
            else:
                (copy / name).write_bytes(damaged)
            found = finding(copy)
            if "tile" in name:
                assert found.subject == name
        (copy / name).write_bytes(data)
    verify_ledger(open_reader(copy))


def test_an_entry_that_was_changed_in_tiles_and_bundle_alike(copy: Path) -> None:
    """Below a full tile: the hash above it stays as it was, so that no proof that we make would read the change."""
    tile, bundle = copy / "ledger" / "tile" / "0" / "000", copy / "ledger" / "tile" / "entries" / "000"
    entries = split_bundle(bundle.read_bytes(), 256, subject="bundle")
    entries[5] = entries[5].replace(b"bench-1", b"bench-2").replace(b"owner", b"ovner")
    bundle.write_bytes(encode_bundle(entries))
    tile.write_bytes(b"".join(map(leaf_hash, entries)))
    assert finding(copy).subject == "ledger/tile/entries/000"


def test_a_checkpoint_of_another_history_is_not_this_ledgers(copy: Path) -> None:
    """Signed with the right key: as if the authority had told two stories."""
    (copy / "other").mkdir()
    tree = Tree(TileFolder(copy / "other"), key=open_reader(copy).ledger_key, sign=SIGNERS["ledger"].sign)
    other = tree.integrate(0, [b"another story"] * 10)
    (copy / COPY).write_bytes(other.note)
    found = finding(copy)
    assert (found.what, found.subject) == ("the root is not that of the entries", str(copy / COPY))
