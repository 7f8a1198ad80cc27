"""Tiles in a folder: what a reader finds, and one writer at a time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imprint.authority.ledger.tile_store import TileStore
from imprint.errors import StorageError
from imprint.storage.tile_folder import TileFolder


def test_it_is_a_tile_store(tmp_path: Path) -> None:
    store: TileStore = TileFolder(tmp_path / "ledger")
    assert store.read("checkpoint") is None
    assert not (tmp_path / "ledger").exists()
    store.write((path, path.encode()) for path in ("tile/0/000.p/7", "tile/entries/000", "checkpoint"))
    assert store.read("tile/0/000.p/7") == b"tile/0/000.p/7"
    assert (tmp_path / "ledger/tile/entries/000").read_bytes() == b"tile/entries/000"
    assert (tmp_path / "ledger/checkpoint").stat().st_mode & 0o777 == 0o644


def test_dropping(tmp_path: Path) -> None:
    store = TileFolder(tmp_path)
    store.write([("tile/0/000.p/7", b"x"), ("tile/0/000", b"y")])
    store.drop("tile/0/000.p")
    store.drop("tile/0/000.p")
    assert store.read("tile/0/000.p/7") is None
    assert store.read("tile/0/000") == b"y"


def test_an_error_of_the_source_comes_through(tmp_path: Path) -> None:
    def files() -> Iterator[tuple[str, bytes]]:
        yield "a", b"1"
        raise KeyError("source")

    store = TileFolder(tmp_path)
    with pytest.raises(KeyError):
        store.write(files())
    assert store.read("a") == b"1"


def test_a_folder_that_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with pytest.raises(StorageError), TileFolder(tmp_path / "plain").lock():
        raise AssertionError("locked")
