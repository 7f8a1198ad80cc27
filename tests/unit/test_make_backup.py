"""A backup of a workspace that is at work: whole, and never newer than its own database."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from imprint import make_backup as module
from imprint.encoding import sha256_hex
from imprint.errors import LedgerError, StorageError, WorkspaceError
from imprint.formats.backup_manifest import BackupManifest, decode_manifest
from imprint.make_backup import make_backup
from imprint.reader import open_reader
from imprint.storage.database import copy_database
from imprint.storage.files import copy_file
from imprint.verify_ledger import verify_copy, verify_ledger
from soft_factory import START, Factory, new_unit

NOW = START + timedelta(hours=1)


def back_up(factory: Factory, folder: Path) -> BackupManifest:
    return make_backup(factory.reader, folder, program="0.1.0", now=NOW)


def work(factory: Factory) -> None:
    factory.bench().imprint(new_unit())
    factory.platform.checkpoint()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "first"


def test_a_backup_is_a_workspace_with_a_manifest(factory: Factory, target: Path) -> None:
    work(factory)
    factory.bench().claim(new_unit())
    secret, journal = factory.folder / "root" / "root.pem", factory.folder / "station" / "bench-1.journal"
    for path in (secret, journal):
        path.parent.mkdir()
        path.touch(mode=0o600)
        path.write_bytes(b"private")
    manifest = back_up(factory, target)
    assert decode_manifest((target / "backup.json").read_bytes(), subject="") == manifest
    head = factory.reader.tree.head()
    assert head is not None
    assert (manifest.entries, manifest.checkpoint_size) == (factory.size(), factory.size() - 1)
    assert (manifest.checkpoint_root, manifest.origin) == (head.root.hex(), head.origin)
    assert (manifest.made_at, manifest.program) == ("2026-11-21T12:37:07.123Z", "0.1.0")
    listed = {file.path: (file.size, file.sha256) for file in manifest.files}
    found = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    del found["backup.json"]
    assert listed == {name: (len(data), sha256_hex(data)) for name, data in found.items()}
    private = {file.path for file in manifest.files if file.private}
    assert private == {"imprint.db", "root/root.pem", "station/bench-1.journal"}
    assert all((target / path).stat().st_mode & 0o777 == 0o600 for path in private)
    assert target.stat().st_mode & 0o777 == 0o700
    for name in ("imprint.toml", "ledger/checkpoint", "ledger/vkey", "certs/ca.pem", "keys/ledger.pub.pem"):
        assert found[name] == (factory.folder / name).read_bytes()
    verified = verify_ledger(open_reader(target))
    assert (verified.committed, verified.integrated) == (manifest.entries, manifest.checkpoint_size)
    there = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert there == {*found, "backup.json"}, "looking at a backup adds nothing to it"


def between(monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], None]) -> None:
    """Do something each time before a file is copied."""

    def copying(source: Path, copy: Path, *, mode: int) -> None:
        act(source)
        copy_file(source, copy, mode=mode)

    monkeypatch.setattr(module, "copy_file", copying)


def test_a_line_that_works_meanwhile(factory: Factory, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is copied at another moment, and a unit and a checkpoint are made before each of the first."""
    moments = [lambda: work(factory)] * 3
    between(monkeypatch, lambda source: moments.pop()() if moments and "ledger" in source.parts else None)
    before = factory.size()
    manifest = back_up(factory, target)
    assert moments == []
    assert before < manifest.checkpoint_size < manifest.entries == factory.size()
    verify_copy(open_reader(target))


def test_what_follows_from_what_is_copied_before_it(
    factory: Factory, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever order a folder lists its files in: first what covers, then what is covered, and the database last."""
    work(factory)
    (factory.folder / "station").mkdir()
    (factory.folder / "station" / "bench-1.journal").write_bytes(b"")
    listed, seen = module._files, list[str]()
    between(monkeypatch, lambda source: seen.append(str(source.relative_to(factory.folder))))
    monkeypatch.setattr(module, "_files", lambda folder: sorted(listed(folder), reverse=True))

    def copying(source: Path, copy: Path) -> None:
        seen.append(source.name)
        copy_database(source, copy)

    monkeypatch.setattr(module, "copy_database", copying)
    back_up(factory, target)
    assert next(name for name in seen if name.startswith("ledger")) == "ledger/checkpoint"
    assert seen[0] == "station/bench-1.journal"
    assert seen[-1] == "imprint.db"


def test_a_partial_tile_that_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes once its full one is there."""
    tile = tmp_path / "live" / "ledger" / "tile" / "0" / "000"
    partial = tile.with_name("000.p") / "5"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"partial")

    def grow(source: Path) -> None:
        if source == partial:
            tile.write_bytes(b"full")
            shutil.rmtree(partial.parent)

    between(monkeypatch, grow)
    module._copy_all(tmp_path / "live", tmp_path / "copy", "ledger")
    assert (tmp_path / "copy" / "ledger" / "tile" / "0" / "000").read_bytes() == b"full"


def test_what_is_being_written_is_left_out(factory: Factory, target: Path) -> None:
    work(factory)
    for name in (".checkpoint.0123.tmp", ".git/config"):
        (factory.folder / "ledger" / name).parent.mkdir(exist_ok=True)
        (factory.folder / "ledger" / name).write_bytes(b"half")
    assert (factory.folder / "ledger" / ".lock").exists()
    paths = [file.path for file in back_up(factory, target).files]
    assert not [path for path in paths if "/." in path]


def test_a_key_that_a_group_may_read_is_the_owners_alone_in_the_copy(factory: Factory, target: Path) -> None:
    key = factory.folder / "root" / "root.pem"
    key.parent.mkdir()
    key.write_bytes(b"private")
    key.chmod(0o640)
    back_up(factory, target)
    assert (target / "root" / "root.pem").stat().st_mode & 0o777 == 0o600


def test_a_checkpoint_elsewhere_need_not_be_there(factory: Factory, target: Path) -> None:
    """A backup can still be made while the disk with the other checkpoint is away."""
    factory.keep_copy().unlink()
    back_up(factory, target)


def test_a_workspace_that_is_not_whole_has_no_backup(factory: Factory, target: Path) -> None:
    work(factory)
    tile = next((factory.folder / "ledger" / "tile" / "0").rglob("*.p/*"))
    good = tile.read_bytes()
    tile.write_bytes(bytes((good[0] ^ 1,)) + good[1:])
    with pytest.raises(LedgerError):
        back_up(factory, target)
    assert list(target.parent.iterdir()) == []
    tile.write_bytes(good)


def test_what_is_there_is_never_touched(factory: Factory, target: Path) -> None:
    target.mkdir(parents=True)
    (target / "mine").write_bytes(b"mine")
    with pytest.raises(WorkspaceError, match="already"):
        back_up(factory, target)
    assert [path.name for path in target.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", [".", "ledger/backup", "backups/new"])
def test_a_backup_is_not_in_its_workspace(factory: Factory, name: str) -> None:
    before = sorted(factory.folder.rglob("*"))
    with pytest.raises(WorkspaceError, match="does not belong"):
        back_up(factory, factory.folder / name)
    assert sorted(factory.folder.rglob("*")) == before


def test_a_disk_that_fails_leaves_nothing(factory: Factory, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every sync of ours in turn."""
    import os

    work(factory)
    real, left = os.fsync, [0]

    def fail(descriptor: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    failures = 0
    for number in range(1, 200):
        left[0] = number
        try:
            back_up(factory, target)
        except StorageError:
            failures += 1
            if target.exists():
                break
            assert not target.parent.exists() or list(target.parent.iterdir()) == []
    assert failures > 30
    assert json.loads((target / "backup.json").read_bytes())["entries"] == factory.size()
    verify_copy(open_reader(target))
