"""Files that are whole or absent, and errors that say what to do about the disk."""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from imprint.errors import InputError, StorageError

PUBLIC: Final = 0o644
PRIVATE: Final = 0o600
MAX_SIZE: Final = 64 * 2**20  # bytes

_NEXT_STEPS: Final = {
    errno.ENOSPC: "Free some space on this disk, then do it again",
    errno.EDQUOT: "Free some space in your quota, then do it again",
    errno.EROFS: "Use a folder on a disk that can be written",
    errno.EACCES: "Check who owns the file and its folder, and their permissions",
    errno.EPERM: "Check who owns the file and its folder, and their permissions",
    errno.ENOENT: "Check the path",
    errno.EMFILE: "Raise the limit of open files (ulimit -n)",
    errno.EIO: "Check the disk's health before anything else",
}


def write_file(path: Path, data: bytes, *, mode: int = PUBLIC) -> None:
    """Make ``path`` hold exactly ``data``, with these permission bits, durably; its folder exists.

    Until this returns, a reader, or whoever looks after a crash, finds the old content or the new one, never a mixture.
    Raises :class:`StorageError`; which of the two is there is then unknown.
    """
    replace_file(path, data, mode=mode)
    sync_folder(path.parent)


def replace_file(path: Path, data: bytes, *, mode: int = PUBLIC) -> None:
    """As :func:`write_file`, but the new name is only durable after :func:`sync_folder` on its folder: for writing many
    files at once."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with storage_errors(path, "could not be written"):
        try:
            with open(temporary, "xb", opener=_private_opener) as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def copy_file(source: Path, target: Path, *, mode: int) -> None:
    """Make ``target``, which is new, hold the bytes of ``source``, however many; its name is only durable after
    :func:`sync_folder` on its folder. Raises :class:`StorageError`."""
    with (
        storage_errors(source, "could not be read"),
        source.open("rb") as found,
        storage_errors(target, "could not be written"),
        open(target, "xb", opener=_private_opener) as file,
    ):
        os.fchmod(file.fileno(), mode)
        shutil.copyfileobj(found, file)
        file.flush()
        os.fsync(file.fileno())


def hash_file(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256, in hexadecimal. Raises :class:`StorageError`."""
    with storage_errors(path, "could not be read"), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def read_file(path: Path, *, limit: int = MAX_SIZE) -> bytes:
    """The file's bytes. Raises :class:`StorageError` when it cannot be read, and :class:`InputError` when it is longer
    than ``limit`` bytes."""
    with storage_errors(path, "could not be read"), path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InputError(f"longer than {limit} bytes", subject=str(path), next_step="Check that it is the right file")
    return data


def read_file_if_any(path: Path, *, limit: int = MAX_SIZE) -> bytes | None:
    """As :func:`read_file`; None when there is no such file."""
    try:
        return read_file(path, limit=limit)
    except StorageError as problem:
        if is_absent(problem):
            return None
        raise


def is_absent(problem: StorageError) -> bool:
    """Whether a file could not be read because there is none."""
    return isinstance(problem.__cause__, FileNotFoundError)


def make_folder(path: Path) -> None:
    """Make the folder and those above it, durably, where they are missing. Raises :class:`StorageError`."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with storage_errors(path, "could not be made"):
        path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in this folder durable. Raises :class:`StorageError`."""
    with storage_errors(path, "could not be written"):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def storage_errors(path: Path, what: str) -> Iterator[None]:
    """Turn an :class:`OSError` inside into a :class:`StorageError` about ``path``."""
    try:
        yield
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        next_step = _NEXT_STEPS.get(problem.errno or 0, "Check the disk and the path")
        raise StorageError(f"{what}: {reason}", subject=str(path), next_step=next_step) from problem


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
