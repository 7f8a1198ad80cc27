"""A backup of a workspace, made while others work in it. It appears whole or not at all.

Entries are only ever added, and everything else in a workspace follows them: journals, checkpoint, tiles, lists. So the
database is copied last, and no part of the backup is newer than its database.
"""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from imprint.authority.ledger.tree import CHECKPOINT
from imprint.clock import to_text
from imprint.errors import StorageError, WorkspaceError
from imprint.formats.backup_manifest import NAME, BackedUpFile, BackupManifest, encode_manifest
from imprint.reader import Reader, open_reader
from imprint.storage.database import copy_database
from imprint.storage.files import (
    PRIVATE,
    PUBLIC,
    copy_file,
    hash_file,
    is_absent,
    make_folder,
    replace_file,
    storage_errors,
)
from imprint.storage.folder import new_folder
from imprint.storage.workspace import EARLIER, SETTINGS, Workspace
from imprint.verify_ledger import verify_copy

_OTHERS_READ: Final = 0o004


def make_backup(
    reader: Reader, folder: Path, *, program: str, now: datetime, progress: Callable[[int], None] = lambda _: None
) -> BackupManifest:
    """Copy the workspace to ``folder``, which is absent or empty, and verify the copy.

    Raises :class:`WorkspaceError` for a folder that is occupied or in the workspace, :class:`StorageError`, and
    :class:`imprint.errors.LedgerError` when what was copied is not whole; then there is no backup.
    """
    workspace = reader.workspace
    if folder.resolve().is_relative_to(workspace.folder.resolve()):
        raise WorkspaceError(
            "a backup does not belong into the workspace", subject=str(folder), next_step="Choose another disk"
        )
    with new_folder(folder) as building:
        building.chmod(0o700)
        _copy(workspace, building)
        copy = open_reader(building)
        found = verify_copy(copy, progress)
        copy.store.close()
        manifest = BackupManifest(
            made_at=to_text(now),
            program=program,
            origin=workspace.origin,
            entries=found.committed,
            checkpoint_size=found.integrated,
            checkpoint_root=found.root.hex(),
            files=tuple(_describe(building, path) for path in sorted(_files(building))),
        )
        replace_file(building / NAME, encode_manifest(manifest))
    return manifest


def _copy(workspace: Workspace, target: Path) -> None:
    source = workspace.folder
    earlier = [path.name for path in sorted(source.glob(EARLIER))]
    for part in ("station", "keys", "certs", "root", *earlier):
        _copy_all(source, target, part)
    for path in (workspace.folder / SETTINGS, workspace.known_checkpoint, workspace.ledger / CHECKPOINT):
        _copy_if_any(source, target, path.relative_to(source))
    _copy_all(source, target, workspace.ledger.name)
    copy_database(workspace.database, target / workspace.database.name)


def _copy_all(source: Path, target: Path, part: str) -> None:
    """Twice: a partial tile may go while we look, but then its full one is there."""
    for _ in range(2):
        for path in _files(source / part):
            _copy_if_any(source, target, part / path)


def _copy_if_any(source: Path, target: Path, path: Path) -> None:
    """A file that is in the copy already stays as it is there."""
    if (target / path).exists():
        return
    make_folder((target / path).parent)
    try:
        copy_file(source / path, target / path, mode=_mode(source / path))
    except StorageError as problem:
        if not is_absent(problem):
            raise


def _mode(path: Path) -> int:
    try:
        return PUBLIC if path.stat().st_mode & _OTHERS_READ else PRIVATE
    except OSError:  # it has gone, or cannot be read either
        return PRIVATE


def _files(folder: Path) -> Iterator[Path]:
    """Paths from ``folder``; what is hidden is a lock, or a file that is being written."""
    for inner, _, names in os.walk(folder, onerror=_unless_gone):
        for path in (Path(inner, name).relative_to(folder) for name in names):
            if not any(part.startswith(".") for part in path.parts):
                yield path


def _unless_gone(problem: OSError) -> None:
    if not isinstance(problem, FileNotFoundError):
        with storage_errors(Path(problem.filename), "could not be looked at"):
            raise problem


def _describe(folder: Path, path: Path) -> BackedUpFile:
    size, sha256 = hash_file(folder / path)
    private = _mode(folder / path) == PRIVATE
    return BackedUpFile(path=path.as_posix(), size=size, sha256=sha256, private=private)
