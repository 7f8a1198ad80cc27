"""Folders that appear whole or not at all."""

import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from imprint.errors import WorkspaceError
from imprint.storage.files import make_folder, replace_file, storage_errors, sync_folder


def refuse_occupied(folder: Path) -> None:
    """Raise :class:`WorkspaceError` unless ``folder`` is absent or empty."""
    with storage_errors(folder, "could not be looked at"):
        occupied = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if occupied:
        raise WorkspaceError("there is something here already", subject=str(folder), next_step="Choose a new folder")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Where to build ``folder``, which is absent or empty. It has its name, durably, once the context ended well; until
    then, and after an error, it is as it was.

    The files that are put there must be durable by then; their names are made so here. Raises :class:`WorkspaceError`
    when something is there already, and :class:`imprint.errors.StorageError`.
    """
    folder = folder.absolute()
    refuse_occupied(folder)
    make_folder(folder.parent)
    building = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.new")
    try:
        make_folder(building)
        yield building
        for inner in (building, *(path for path in building.rglob("*") if path.is_dir())):
            sync_folder(inner)
        with storage_errors(folder, "could not be made"):
            if folder.exists():
                folder.rmdir()
            building.rename(folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def write_folder(folder: Path, files: Iterable[tuple[str, bytes]]) -> int:
    """Make ``folder``, which is absent or empty, with these files; the number of files.

    Paths are relative and have been made by us. Raises as :func:`new_folder`; then nothing is left behind.
    """
    count = 0
    with new_folder(folder) as building:
        for path, data in files:
            target = building / path
            make_folder(target.parent)
            replace_file(target, data)
            count += 1
    return count
