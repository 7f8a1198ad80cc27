"""Folders that appear whole or not at all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from imprint.errors import StorageError, WorkspaceError
from imprint.storage.folder import refuse_occupied, write_folder

FILES = [("a", b"1"), ("deep/er/b", b"2"), ("deep/c", b"")]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("where", ["new", "empty", "above/that/is/new"])
def test_a_folder_with_its_files(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert write_folder(Path(where), FILES) == 3
    assert content(tmp_path / where) == dict(FILES)
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".new", ".tmp"))]


@pytest.mark.parametrize("occupied", ["file", "folder"])
def test_what_is_there_is_never_touched(tmp_path: Path, occupied: str) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_bytes(b"mine")
    before = content(tmp_path)
    for act in (lambda: refuse_occupied(tmp_path / occupied), lambda: write_folder(tmp_path / occupied, FILES)):
        with pytest.raises(WorkspaceError, match="already"):
            act()
    assert content(tmp_path) == before


def broken() -> Iterator[tuple[str, bytes]]:
    yield FILES[0]
    raise StorageError("the source failed")


def test_a_source_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the source failed"):
        write_folder(tmp_path / "new", broken())
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every sync in turn."""
    real, left = os.fsync, [0]

    def fail(descriptor: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(5, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    failures = 0
    for number in range(1, 50):
        left[0] = number
        try:
            write_folder(tmp_path / "new", FILES)
        except StorageError:
            failures += 1
            if (tmp_path / "new").exists():
                assert content(tmp_path / "new") == dict(FILES), "the last sync is after the folder has its name"
                break
            assert list(tmp_path.iterdir()) == []
    assert failures > 5
