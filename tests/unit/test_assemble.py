"""Making and opening workspaces: one is really made, with its encrypted keys; the rest use ready signers."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from imprint.assemble import create, open_platform, open_reader
from imprint.authority.production.commands import CloseLot
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
from imprint.storage.workspace import KEY_NAMES
from imprint.verify_ledger import verify_ledger
from soft_factory import Factory, SetClock, new_unit

PASSPHRASE = b"nine owls under a bridge"
ROOT_PASSPHRASE = b"kept in another drawer"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as owners make it, its root elsewhere."""
    folder = tmp_path_factory.mktemp("made")
    create(
        folder / "workspace",
        organization="Größe & Co",
        passphrase=PASSPHRASE,
        root_passphrase=ROOT_PASSPHRASE,
        root_out=folder / "vault",
        clock=SetClock(),
    )
    return folder


# --- making one ---


def test_private_things_are_private_and_encrypted(made: Path) -> None:
    workspace = made / "workspace"
    assert workspace.stat().st_mode & 0o777 == 0o700
    files = {str(path.relative_to(made)): path for path in made.rglob("*") if path.is_file()}
    private = [path for name, path in files.items() if path.suffix == ".pem" and b"PRIVATE" in path.read_bytes()]
    assert {path.name for path in private} == {"root.pem", *(f"{name}.pem" for name in KEY_NAMES)}
    for path in [*private, files["workspace/imprint.db"]]:
        assert path.stat().st_mode & 0o777 == 0o600
    for path in private:
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    for path in files.values():
        assert PASSPHRASE not in path.read_bytes()
        assert ROOT_PASSPHRASE not in path.read_bytes()
    assert {path.parent.name for path in made.rglob("root.pem") if b"PRIVATE" in path.read_bytes()} == {"vault"}
    assert not (workspace / "root").exists()


def test_the_roots_passphrase_is_its_own(made: Path) -> None:
    pem = (made / "vault" / "root.pem").read_bytes()
    with pytest.raises(ValueError, match=r"password|decrypt"):
        load_pem_private_key(pem, PASSPHRASE)
    root = load_pem_x509_certificate((made / "workspace" / "certs" / "root.pem").read_bytes())
    assert load_pem_private_key(pem, ROOT_PASSPHRASE).public_key() == root.public_key()
    ca = load_pem_x509_certificate((made / "workspace" / "certs" / "ca.pem").read_bytes())
    ca.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert (made / "vault" / "root-certificate.pem").read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
    assert ca.subject.rfc4514_string() == "CN=Größe & Co Device CA,O=Größe & Co"


def test_what_was_made_decides(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made / "workspace", tmp_path / "copy")
    asked: list[int] = []

    def passphrase() -> bytes:
        asked.append(1)
        return PASSPHRASE

    with open_platform(folder, passphrase, clock=SetClock()) as platform:
        factory = Factory(folder=folder, clock=SetClock(), platform=platform)
        factory.add_product()
    assert len(asked) == 1
    found = verify_ledger(open_reader(folder))
    assert (found.committed, found.integrated) == (1, 1), "what was decided is under a checkpoint when it closes"


@pytest.mark.parametrize("name", ["", "two\nlines", "nul\x00", "x" * 65, "\ud800"])
def test_an_organization_that_no_certificate_can_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="organization"):
        create(tmp_path / "new", organization=name, passphrase=b"p", root_passphrase=b"r")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_made_over_what_is_there(made: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"mine")
    for folder, root_out in ((tmp_path / "taken", None), (tmp_path, None), (tmp_path / "new", made / "vault")):
        with pytest.raises(WorkspaceError, match="already"):
            create(folder, organization="x", passphrase=b"p", root_passphrase=b"r", root_out=root_out)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_an_empty_passphrase_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PassphraseError):
        create(tmp_path / "new", organization="x", passphrase=b"", root_passphrase=b"r", root_out=tmp_path / "vault")
    assert list(tmp_path.iterdir()) == []


# --- opening one ---


def test_a_wrong_passphrase(made: Path) -> None:
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    with pytest.raises(PassphraseError) as caught, open_platform(made / "workspace", lambda: b"wrong"):
        pass
    assert "wrong" not in str(caught.value)
    assert {path: path.read_bytes() for path in before} == before


def test_keys_that_were_swapped(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made / "workspace", tmp_path / "copy")
    shutil.copy(folder / "keys" / "firmware.pem", folder / "keys" / "device-ca.pem")
    with pytest.raises(WorkspaceError, match="not that of its public half"), open_platform(folder, lambda: PASSPHRASE):
        pass


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
        factory.platform.command(CloseLot(lot="lot-x", checkpoint=b""))
    assert (caught.value.code, bool(caught.value.next_step)) == ("unknown-lot", True)


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


def test_an_empty_workspace_verifies(made: Path) -> None:
    found = verify_ledger(open_reader(made / "workspace"))
    assert (found.committed, found.integrated) == (0, 0)
