"""Files that are whole or absent, on the real file system."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imprint.errors import InputError, StorageError
from imprint.storage.files import PRIVATE, make_folder, read_file, read_file_if_any, replace_file, write_file


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"one")
    write_file(path, b"two" * 100_000)
    assert read_file(path) == b"two" * 100_000
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_mode_is_the_one_asked_for(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    write_file(path, b"old", mode=0o640)
    write_file(path, b"new", mode=mode)
    assert path.stat().st_mode & 0o777 == mode


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")

    def no_space(descriptor: int) -> None:
        raise fail(errno.ENOSPC)

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StorageError, match="Free some space"):
        replace_file(path, b"new")
    monkeypatch.undo()
    assert read_file(path) == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk(tmp_path: Path) -> None:
    """The kernel refuses the write itself: the limit on the size of a file, in a process of its own."""
    script = (
        "import resource, signal, sys, pathlib\n"
        "from imprint.errors import StorageError\n"
        "from imprint.storage.files import write_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_file(pathlib.Path(sys.argv[1]), bytes(100_000))\n"
        "except StorageError as problem: print(problem)\n"
    )
    path = tmp_path / "file"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert "could not be written: File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        write_file(tmp_path / "missing" / "file", b"x")
    (tmp_path / "plain").write_bytes(b"")
    with pytest.raises(StorageError, match="Not a directory"):
        write_file(tmp_path / "plain" / "file", b"x")
    with pytest.raises(StorageError, match="could not be made"):
        make_folder(tmp_path / "plain" / "folder")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that refuses everybody")
def test_a_read_only_file_system() -> None:
    with pytest.raises(StorageError) as caught:
        write_file(Path("/proc/imprint-test"), b"x")
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.EACCES, "permissions"), (errno.EROFS, "can be written"), (errno.ENOSPC, "space"), (errno.EBADF, "Check")],
)
def test_each_reason_has_its_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise fail(number)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError, match=advice) as caught:
        write_file(tmp_path / "file", b"secret content", mode=PRIVATE)
    assert caught.value.subject == str(tmp_path / "file")
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert read_file_if_any(path) is None
    with pytest.raises(StorageError, match="could not be read"):
        read_file(path)
    path.write_bytes(b"12345")
    assert read_file(path, limit=5) == read_file_if_any(path, limit=5) == b"12345"
    with pytest.raises(InputError, match="longer than 4 bytes"):
        read_file(path, limit=4)
    with pytest.raises(StorageError, match="Is a directory"):
        read_file_if_any(tmp_path)


def test_folders_are_made_down_to_the_last(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a/b/c").is_dir()
