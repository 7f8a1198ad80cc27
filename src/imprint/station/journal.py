"""The station's journal: an append-only file that makes a killed station go on where it was.

Every entry is on the disk before the call that adds it returns. One process holds a journal at a time. A last line that
was torn by a crash or a power cut was never acted on, and is cut away; other damage is an error that names the line.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from imprint.errors import ConflictError, FormatError, StorageError
from imprint.station.journal_entry import Entry, decode_entry, encode_entry
from imprint.station.run_history import RunHistory

_READ_SIZE: Final = 1 << 20
_CHECK_FOLDER: Final = "Check the folder: who owns it, its permissions, and the space on its disk"


class Journal:
    """An open journal. Use :func:`open_journal`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take over an open and locked file: read it whole. Raises as :func:`open_journal`."""
        self.path: Final = path
        self.history: Final = RunHistory()
        self._descriptor: Final = descriptor
        self._number = 0
        self._size = 0
        self._broken = False
        self._read()

    def append(self, entry: Entry) -> None:
        """Add an entry, durably. Raises :class:`StorageError`; the journal is then as it was before."""
        if self._broken:
            raise StorageError("the journal is out of use after a failed write", subject=str(self.path))
        line = encode_entry(entry, self._number + 1)
        try:
            self._write(line)
        except OSError as problem:
            self._undo()
            raise StorageError(
                f"the journal cannot be written: {os.strerror(problem.errno or 0)}",
                subject=str(self.path),
                next_step="Free some space or check the disk, then run the same units again",
            ) from problem
        self.history.add(entry)
        self._number += 1
        self._size += len(line)

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        os.fsync(self._descriptor)

    def _undo(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._broken = True

    def _read(self) -> None:
        with os.fdopen(os.dup(self._descriptor), "rb", buffering=_READ_SIZE) as file:
            for line in file:
                if _is_torn(line) and next(file, None) is None:  # the last one
                    break
                self._take(line.removesuffix(b"\n"))
                self._size += len(line)
        os.ftruncate(self._descriptor, self._size)

    def _take(self, line: bytes) -> None:
        subject = f"{self.path}:{self._number + 1}"
        try:
            self.history.add(decode_entry(line, self._number + 1, subject=subject))
        except FormatError as problem:
            raise FormatError(
                f"the journal is damaged: {problem.what}",
                subject=subject,
                next_step="Keep the file for the security officer, and start this station under another name",
            ) from None
        self._number += 1


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """The journal at ``path``, made when it isn't there (mode 0600), and locked.

    Raises :class:`ConflictError` when another process holds it, :class:`FormatError` with the line when it is damaged,
    :class:`StorageError` when it cannot be read or written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise StorageError(
            f"the journal does not open: {problem.strerror}", subject=str(path), next_step=_CHECK_FOLDER
        ) from problem
    try:
        yield _locked(path, descriptor)
    finally:
        os.close(descriptor)


def _locked(path: Path, descriptor: int) -> Journal:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConflictError(
            "another station process uses this journal", subject=str(path), next_step="Stop it, or use its window"
        ) from None
    try:
        _sync_folder(path.parent)  # the file's name must be as durable as its lines
        return Journal(path, descriptor)
    except OSError as problem:
        raise StorageError(
            f"the journal cannot be read: {problem.strerror}", subject=str(path), next_step=_CHECK_FOLDER
        ) from problem


def _is_torn(line: bytes) -> bool:
    """Cut off by a crash, or by a power cut that kept the end and not what is before it: that reads as zeros, which no
    entry has in it."""
    return not line.endswith(b"\n") or b"\0" in line


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
