"""A workspace as owners make it, with its keys in encrypted files: what lies on the disk, and who can open it."""

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from imprint.assemble import open_platform
from imprint.errors import PassphraseError, WorkspaceError
from imprint.make_workspace import create
from imprint.reader import open_reader
from imprint.storage.workspace import KEY_NAMES
from imprint.verify_ledger import verify_ledger
from soft_factory import Factory, SetClock

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


def test_an_empty_workspace_verifies(made: Path) -> None:
    found = verify_ledger(open_reader(made / "workspace"))
    assert (found.committed, found.integrated) == (0, 0)
