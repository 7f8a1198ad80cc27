"""No way back: an older database, an older folder, and a folder of another history."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from imprint.authority.decisions.guard import refuse_rollback
from imprint.errors import LedgerError
from imprint.reader import open_reader
from imprint.verify_ledger import verify_ledger
from soft_factory import Factory, copied_factory, new_unit


def guard(folder: Path) -> None:
    reader = open_reader(folder)
    with reader.store.reading() as store:
        refuse_rollback(store, reader.tree, reader.outside_checkpoints())


def imprint_one(factory: Factory) -> None:
    factory.bench().imprint(new_unit())
    factory.platform.checkpoint()


def test_a_new_workspace_and_a_good_one(factory: Factory) -> None:
    guard(factory.folder)
    imprint_one(factory)
    guard(factory.folder)
    factory.bench().claim(new_unit())
    guard(factory.folder)


def test_a_ledger_folder_without_its_checkpoint_is_refused(factory: Factory) -> None:
    (factory.folder / "ledger" / "checkpoint").unlink()
    with pytest.raises(LedgerError, match="checkpoint is missing"):
        guard(factory.folder)


def test_a_copy_that_is_away_proves_nothing(factory: Factory) -> None:
    copy = factory.keep_copy()
    guard(factory.folder)
    copy.unlink()
    with pytest.raises(LedgerError, match="is not there") as caught:
        guard(factory.folder)
    assert "Mount its disk" in caught.value.next_step


def test_yesterdays_database_is_refused(factory: Factory) -> None:
    imprint_one(factory)
    factory.stop()
    yesterday = factory.database.read_bytes()
    factory.reopen()
    imprint_one(factory)
    factory.stop()
    factory.database.write_bytes(yesterday)
    with pytest.raises(LedgerError, match=r"it has 7 entries, and .* covers 11 \(missing: 4\)") as caught:
        guard(factory.folder)
    assert "Nothing was issued" in caught.value.next_step


def test_yesterdays_folder_is_refused_by_the_copy_elsewhere(factory: Factory, tmp_path: Path) -> None:
    copy = factory.keep_copy()
    imprint_one(factory)
    assert copy.read_bytes() == (factory.folder / "ledger" / "checkpoint").read_bytes()
    yesterday = shutil.copytree(factory.folder, tmp_path / "yesterday")
    imprint_one(factory)
    with pytest.raises(LedgerError, match="an older copy"):
        guard(yesterday)
    guard(factory.folder)


def put_back_ledger(factory: Factory, tmp_path: Path) -> None:
    """The ledger's folder, not the database, is that of one unit ago; the last checkpoint was kept elsewhere."""
    factory.keep_copy()
    imprint_one(factory)
    yesterday = shutil.copytree(factory.folder / "ledger", tmp_path / "ledger")
    imprint_one(factory)
    shutil.rmtree(factory.folder / "ledger")
    yesterday.rename(factory.folder / "ledger")


def test_yesterdays_ledger_folder_grows_from_todays_database(factory: Factory, tmp_path: Path) -> None:
    put_back_ledger(factory, tmp_path)
    assert verify_ledger(open_reader(factory.folder)).integrated < factory.size()
    guard(factory.folder)
    imprint_one(factory)
    assert verify_ledger(open_reader(factory.folder)).integrated == factory.size()


def test_yesterdays_ledger_folder_beside_another_history_is_refused(factory: Factory, tmp_path: Path) -> None:
    put_back_ledger(factory, tmp_path)
    last = factory.size() - 1
    with sqlite3.connect(factory.database) as database:
        kept = database.execute("SELECT data FROM entries WHERE seq = ?", (last,)).fetchone()
        database.execute("UPDATE entries SET data = x'00' WHERE seq = ?", (last,))
    with pytest.raises(LedgerError, match="not those of a checkpoint of size 11"):
        guard(factory.folder)
    with pytest.raises(LedgerError):
        verify_ledger(open_reader(factory.folder))
    with sqlite3.connect(factory.database) as database:
        database.execute("UPDATE entries SET data = ? WHERE seq = ?", (*kept, last))
    database.close()


def test_a_folder_that_went_another_way_is_refused(factory: Factory, factory_template: Path, tmp_path: Path) -> None:
    """As long as ours or longer, whole in itself and signed with the same key: but not the one whose head was kept."""
    copy = factory.keep_copy()
    imprint_one(factory)
    with copied_factory(factory_template, tmp_path / "elsewhere") as other:
        other.bench().imprint(new_unit())
        for _ in range(2):
            imprint_one(other)
        head = (other.folder / "ledger" / "checkpoint").read_bytes()
        other.reopen()
        settings = other.folder / "imprint.toml"
        settings.write_bytes((factory.folder / "imprint.toml").read_bytes())
        assert other.reader.open_checkpoint(head).size > other.reader.open_checkpoint(copy.read_bytes()).size
        with pytest.raises(LedgerError, match="not the one of the checkpoint"):
            guard(other.folder)


@pytest.mark.parametrize(
    "sql", ["UPDATE entries SET data = x'00' WHERE seq = {}", "DELETE FROM entries WHERE seq = {}"]
)
def test_the_last_covered_entry_must_be_there(factory: Factory, sql: str) -> None:
    """Its loss shows although a later one is there, so that the size is as before."""
    imprint_one(factory)
    last = factory.size() - 1
    factory.bench().claim(new_unit())
    with sqlite3.connect(factory.database) as database:
        database.execute("CREATE TABLE kept AS SELECT * FROM entries")
        database.execute(sql.format(last))
    with pytest.raises(LedgerError, match="not the one that the checkpoint covers") as caught:
        guard(factory.folder)
    assert caught.value.subject == f"entries row {last}"
    with sqlite3.connect(factory.database) as database:
        database.execute("REPLACE INTO entries SELECT * FROM kept")
        database.execute("DROP TABLE kept")
    database.close()
