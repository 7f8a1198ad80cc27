"""A workspace from a backup: what was backed up and nothing else, and no way back to an older one."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from imprint.assemble import open_platform
from imprint.errors import InputError, LedgerError, WorkspaceError
from imprint.make_backup import make_backup
from imprint.reader import open_reader
from imprint.restore_backup import restore_backup
from imprint.verify_ledger import verify_ledger
from soft_factory import START, Factory, copied_factory, new_unit, open_factory


def work(factory: Factory) -> None:
    factory.bench().imprint(new_unit())
    factory.platform.checkpoint()


@pytest.fixture
def backup(factory: Factory, tmp_path: Path) -> Path:
    """Of a factory that is at work."""
    work(factory)
    factory.bench().claim(new_unit())
    (factory.folder / "station").mkdir()
    (factory.folder / "station" / "bench-1.journal").touch(mode=0o600)
    make_backup(factory.reader, tmp_path / "backup", program="0.1.0", now=START)
    return tmp_path / "backup"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(folder: Path) -> LedgerError:
    with (
        pytest.raises(LedgerError) as caught,
        open_platform(folder, lambda: pytest.fail("asked for the passphrase")),
    ):
        pass
    return caught.value


def go_on(factory: Factory, folder: Path) -> None:
    """The restored workspace decides, and is whole afterwards."""
    open_reader(folder).refuse_rollback()
    restored = open_factory(folder, factory.clock)
    work(restored)
    restored.check()
    restored.stop()
    found = verify_ledger(open_reader(folder))
    assert found.committed == found.integrated


def test_what_was_backed_up_and_nothing_else(factory: Factory, backup: Path, tmp_path: Path) -> None:
    (backup / "imprint.db-wal").write_bytes(b"not of the backup")
    (backup / "keys" / "more.pem").write_bytes(b"not of the backup")
    manifest = restore_backup(backup, tmp_path / "new")
    wanted = {file.path: (backup / file.path).read_bytes() for file in manifest.files}
    found = content(tmp_path / "new")
    assert {**found, "imprint.db": b""} == {**wanted, "imprint.db": b""}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    for file in manifest.files:
        assert (tmp_path / "new" / file.path).stat().st_mode & 0o777 == (0o600 if file.private else 0o644)
    database = sqlite3.connect(tmp_path / "new" / "imprint.db")
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()
    go_on(factory, tmp_path / "new")


def test_each_file_is_compared(factory: Factory, backup: Path, tmp_path: Path) -> None:
    for name, data in content(backup).items():
        for spoiled in (bytes((data[0] ^ 1,)) + data[1:] if data else b"x", data + b"\n", None):
            (backup / name).unlink()
            if spoiled is not None:
                (backup / name).write_bytes(spoiled)
            with pytest.raises(InputError) as caught:
                restore_backup(backup, tmp_path / "new")
            named = backup if name == "backup.json" and spoiled is None else backup / name
            assert caught.value.subject == str(named)
            assert caught.value.next_step
            (backup / name).write_bytes(data)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "factory"]
    restore_backup(backup, tmp_path / "new")


def test_what_is_there_is_never_touched(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_bytes(b"mine")
    with pytest.raises(WorkspaceError, match="already"):
        restore_backup(backup, tmp_path / "taken")
    assert content(tmp_path / "taken") == {"mine": b"mine"}


def test_a_folder_that_is_no_backup(factory: Factory, tmp_path: Path) -> None:
    for folder in (factory.folder, tmp_path / "none"):
        with pytest.raises(InputError, match=r"there is no backup\.json"):
            restore_backup(folder, tmp_path / "new")


# --- no way back ---


def test_older_than_the_copy_elsewhere(factory: Factory, tmp_path: Path) -> None:
    copy = factory.keep_copy()
    work(factory)
    make_backup(factory.reader, tmp_path / "backup", program="0.1.0", now=START)
    restore_backup(tmp_path / "backup", tmp_path / "as-new")
    open_reader(tmp_path / "as-new").refuse_rollback()
    work(factory)
    restore_backup(tmp_path / "backup", tmp_path / "older")
    problem = refusal(tmp_path / "older")
    assert "it has 7 entries, and a checkpoint outside it covers 11 (missing: 4)" in problem.what
    assert "Find the newer database" in problem.next_step
    with pytest.raises(LedgerError, match=r"all that is here is whole, but it is an older copy: .* \(missing: 4\)"):
        verify_ledger(open_reader(tmp_path / "older"))
    (away := tmp_path / "away").mkdir()
    restore_backup(tmp_path / "backup", away / "new")  # its settings name the copy relative to its folder
    assert "is not there" in refusal(away / "new").what
    shutil.copy(copy, away)
    assert "missing: 4" in refusal(away / "new").what


def test_older_than_a_checkpoint_that_is_named(factory: Factory, backup: Path, tmp_path: Path) -> None:
    work(factory)
    newest = factory.folder / "ledger" / "checkpoint"
    restore_backup(backup, tmp_path / "unnamed")
    open_reader(tmp_path / "unnamed").refuse_rollback()
    restore_backup(backup, tmp_path / "older", checkpoint=newest)
    assert (tmp_path / "older" / "known-checkpoint").read_bytes() == newest.read_bytes()
    assert "it has 8 entries, and a checkpoint outside it covers 12 (missing: 4)" in refusal(tmp_path / "older").what


def test_not_older_than_a_checkpoint_that_is_named(factory: Factory, backup: Path, tmp_path: Path) -> None:
    """The backup's own checkpoint is older, but its database has all that the newer one covers."""
    assert factory.platform.checkpoint().size == 8
    named = factory.folder / "ledger" / "checkpoint"
    restore_backup(backup, tmp_path / "new", checkpoint=named)
    head = open_reader(tmp_path / "new").tree.head()
    assert head is not None
    assert head.size == 7
    go_on(factory, tmp_path / "new")


def test_the_latest_of_two_checkpoints_is_kept(factory: Factory, backup: Path, tmp_path: Path) -> None:
    """A restored workspace is backed up, and that backup restored."""
    older = shutil.copy(factory.folder / "ledger" / "checkpoint", tmp_path / "older-checkpoint")
    work(factory)
    newest = (factory.folder / "ledger" / "checkpoint").read_bytes()
    restore_backup(backup, tmp_path / "one", checkpoint=factory.folder / "ledger" / "checkpoint")
    make_backup(open_reader(tmp_path / "one"), tmp_path / "again", program="0.1.0", now=START)
    for name, checkpoint in (("two", None), ("three", Path(older))):
        restore_backup(tmp_path / "again", tmp_path / name, checkpoint=checkpoint)
        assert (tmp_path / name / "known-checkpoint").read_bytes() == newest
        assert "missing: 4" in refusal(tmp_path / name).what
    restore_backup(backup, tmp_path / "four", checkpoint=Path(older))
    make_backup(open_reader(tmp_path / "four"), tmp_path / "fifth", program="0.1.0", now=START)
    restore_backup(tmp_path / "fifth", tmp_path / "five", checkpoint=factory.folder / "ledger" / "checkpoint")
    assert (tmp_path / "five" / "known-checkpoint").read_bytes() == newest


def test_a_checkpoint_of_another_history(
    factory: Factory, factory_template: Path, backup: Path, tmp_path: Path
) -> None:
    """Signed with the same key, and no longer than the backup: but not one over its entries."""
    with copied_factory(factory_template, tmp_path / "elsewhere") as other:
        work(other)
        head = other.folder / "ledger" / "checkpoint"
        restore_backup(backup, tmp_path / "new", checkpoint=head)
    assert "not the one of the checkpoint" in refusal(tmp_path / "new").what


@pytest.mark.parametrize("note", [b"", b"not a note", b"x" * 100])
def test_what_is_no_checkpoint_of_this_ledger(backup: Path, tmp_path: Path, note: bytes) -> None:
    (tmp_path / "note").write_bytes(note)
    with pytest.raises(InputError, match="not a checkpoint of this ledger") as caught:
        restore_backup(backup, tmp_path / "new", checkpoint=tmp_path / "note")
    assert caught.value.subject == str(tmp_path / "note")
    assert not (tmp_path / "new").exists()


def test_a_new_checkpoint_goes_elsewhere_as_before(factory: Factory, tmp_path: Path) -> None:
    """The copy elsewhere grows also where a checkpoint was named."""
    copy = factory.keep_copy()
    work(factory)
    factory.bench().claim(new_unit())
    make_backup(factory.reader, tmp_path / "backup", program="0.1.0", now=START)
    before = copy.read_bytes()
    factory.platform.checkpoint()
    copy.write_bytes(before)
    restore_backup(tmp_path / "backup", tmp_path / "new", checkpoint=factory.folder / "ledger" / "checkpoint")
    restored = open_factory(tmp_path / "new", factory.clock)
    assert restored.platform.checkpoint().note == copy.read_bytes() != before
    restored.stop()
