"""Making, opening and running workspaces with ready signers. One that is really made, with its encrypted keys, has its
tests among those of the integration."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from imprint.assemble import open_platform
from imprint.authority.production.commands import CloseLotUnder
from imprint.errors import (
    FormatError,
    ImprintError,
    InputError,
    KeyStoreError,
    PassphraseError,
    RefusedError,
    StorageError,
    WorkspaceError,
)
from imprint.make_workspace import create
from imprint.reader import open_reader
from imprint.testing.stores import Break
from imprint.verify_ledger import verify_ledger
from soft_factory import Factory, new_unit

# --- making one ---


@pytest.mark.parametrize("name", ["", "two\nlines", "nul\x00", "x" * 65, "\ud800"])
def test_an_organization_that_no_certificate_can_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="organization"):
        create(tmp_path / "new", organization=name, passphrase=b"p", root_passphrase=b"r")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_made_over_what_is_there(tmp_path: Path) -> None:
    (vault := tmp_path / "vault").mkdir()
    (vault / "root.pem").write_bytes(b"mine")
    (tmp_path / "taken").write_bytes(b"mine")
    for folder, root_out in ((tmp_path / "taken", None), (tmp_path, None), (tmp_path / "new", vault)):
        with pytest.raises(WorkspaceError, match="already"):
            create(folder, organization="x", passphrase=b"p", root_passphrase=b"r", root_out=root_out)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["root.pem", "taken", "vault"]


def test_an_empty_passphrase_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PassphraseError):
        create(tmp_path / "new", organization="x", passphrase=b"", root_passphrase=b"r", root_out=tmp_path / "vault")
    assert list(tmp_path.iterdir()) == []


# --- opening one ---


def test_rolled_back_before_the_passphrase_is_asked(factory: Factory) -> None:
    yesterday = factory.folder.parent / "yesterday.db"
    with sqlite3.connect(factory.database) as database, sqlite3.connect(yesterday) as copy:
        database.backup(copy)
    copy.close()
    database.close()
    factory.bench().claim(new_unit())
    factory.platform.checkpoint()
    (today := factory.folder.parent / "today").mkdir()
    shutil.copytree(factory.folder, today, dirs_exist_ok=True)
    for name in ("imprint.db-wal", "imprint.db-shm"):
        (today / name).unlink(missing_ok=True)
    shutil.copy(yesterday, today / "imprint.db")
    with pytest.raises(ImprintError, match="older copy"), open_platform(today, lambda: pytest.fail("asked")):
        pass


@pytest.fixture
def folder(factory: Factory) -> Iterator[Path]:
    """A workspace to be damaged."""
    damaged = factory.folder.parent / "damaged"
    shutil.copytree(factory.folder, damaged)
    yield damaged
    open_reader(factory.folder)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("ledger/vkey", b"\xff\xfe", FormatError),
        ("ledger/vkey", b"", FormatError),
        ("ledger/vkey", None, StorageError),
        ("ledger/vkey", b"PASTE", WorkspaceError),  # of another ledger
        ("imprint.db", b"", StorageError),
        ("imprint.toml", b"", WorkspaceError),
    ],
    ids=str,
)
def test_a_workspace_that_cannot_be_read(
    folder: Path, name: str, content: bytes | None, error: type[ImprintError]
) -> None:
    path = folder / name
    if content is None:
        path.unlink()
    else:
        settings = (folder / "imprint.toml").read_text()
        path.write_bytes(content)
        if content == b"PASTE":
            path.write_bytes(b"")
            shutil.copy(folder.parent / "factory" / "ledger" / "vkey", path)
            (folder / "imprint.toml").write_text(settings.replace("example.com/ledger", "example.com/other"))
    with pytest.raises(error):
        open_reader(folder)


def test_a_database_of_another_version(folder: Path) -> None:
    with sqlite3.connect(folder / "imprint.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(WorkspaceError, match="schema 9999; this program knows 0001"):
        open_reader(folder)


@pytest.mark.parametrize("name", ["ca.pem", "root.pem"])
@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff"])
def test_certificates_that_are_none(folder: Path, name: str, content: bytes) -> None:
    (folder / "certs" / name).write_bytes(content)
    with pytest.raises(WorkspaceError, match="not a certificate") as caught:
        open_reader(folder).chain()
    assert caught.value.subject == str(folder / "certs" / name)


def test_a_chain_that_does_not_hold(factory: Factory, folder: Path) -> None:
    from imprint.assemble import Platform
    from soft_factory import SIGNERS

    shutil.copy(folder / "certs" / "root.pem", folder / "certs" / "ca.pem")
    with pytest.raises(KeyStoreError):
        Platform(open_reader(folder), SIGNERS, factory.clock)


# --- commands and checkpoints ---


def test_a_refusal_is_an_error_for_its_owner(factory: Factory) -> None:
    with pytest.raises(RefusedError) as caught:
        factory.platform.command(CloseLotUnder(lot="lot-x", checkpoint=b""))
    assert (caught.value.code, bool(caught.value.next_step)) == ("unknown-lot", True)


@pytest.mark.parametrize("how", list(Break))
def test_a_command_is_decided_once_when_its_commit_fails(factory: Factory, how: Break) -> None:
    before, store = factory.size(), factory.breaking_store()
    store.break_next(how)
    factory.add_lot("lot-x")
    assert [entry.type for entry in factory.entries(before)] == ["lot.created"]


@pytest.mark.parametrize(("how", "kept"), [(Break.BEFORE, 0), (Break.AFTER, 1)])
def test_a_command_whose_outcome_stays_unknown_is_an_error(factory: Factory, how: Break, kept: int) -> None:
    before, store = factory.size(), factory.breaking_store()
    store.break_at(1, how)
    store.break_at(2, how)
    with pytest.raises(StorageError, match="broke on purpose"):
        factory.add_lot("lot-x")
    assert factory.size() == before + kept


def test_stations_have_names_of_their_own(factory: Factory) -> None:
    for name in ("", "owner"):
        with pytest.raises(InputError, match="cannot be named"):
            factory.platform.station(name)


def test_a_checkpoint_covers_all_that_is_committed(factory: Factory) -> None:
    first = factory.platform.checkpoint()
    assert (first.size, factory.platform.checkpoint()) == (factory.size(), first)
    factory.bench().imprint(new_unit())
    second = factory.platform.checkpoint()
    assert second.size == first.size + 4
    assert (factory.folder / "ledger" / "checkpoint").read_bytes() == second.note
    found = verify_ledger(factory.reader)
    assert (found.committed, found.integrated, found.root) == (second.size, second.size, second.root)


def test_closing_makes_a_checkpoint_and_ends_everything(factory: Factory) -> None:
    bench = factory.bench()
    bench.claim(new_unit())
    factory.platform.close()
    assert factory.reader.tree.head() == factory.reader.open_checkpoint(
        (factory.folder / "ledger" / "checkpoint").read_bytes()
    )
    head = factory.reader.tree.head()
    assert head is not None
    assert head.size == factory.size()
    with pytest.raises(StorageError, match="closing"):
        bench.claim(new_unit())


def test_a_ledger_without_its_checkpoint_does_not_verify(factory: Factory) -> None:
    (factory.folder / "ledger" / "checkpoint").unlink()
    with pytest.raises(ImprintError, match="checkpoint is missing"):
        verify_ledger(factory.reader)
