"""Tiles as files of a folder, laid out as they are served: the folder can be published as it is."""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from imprint.formats.tiles import MAX_ENTRY_SIZE, WIDTH
from imprint.storage.files import (
    PUBLIC,
    make_folder,
    read_file_if_any,
    replace_file,
    storage_errors,
    sync_folder,
)

_MAX_FILE_SIZE: Final = WIDTH * (2 + MAX_ENTRY_SIZE)  # a full bundle of the longest entries
_LOCK: Final = ".lock"


class TileFolder:
    """An :class:`imprint.authority.ledger.tile_store.TileStore` in ``root``, which must be there: one that is
    missing is on its way to another name, and a second one must not begin in its place."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes | None:
        """See :class:`imprint.authority.ledger.tile_store.TileStore`."""
        return read_file_if_any(self._root / path, limit=_MAX_FILE_SIZE)

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        """See :class:`imprint.authority.ledger.tile_store.TileStore`. Each folder is synced once."""
        folders: set[Path] = set()
        for path, data in files:
            target = self._root / path
            if target.parent not in folders:
                make_folder(target.parent)
                folders.add(target.parent)
            replace_file(target, data, mode=PUBLIC)
        for folder in folders:
            sync_folder(folder)

    def drop(self, folder: str) -> None:
        """See :class:`imprint.authority.ledger.tile_store.TileStore`."""
        target = self._root / folder
        with storage_errors(target, "could not be removed"):
            if target.exists():
                shutil.rmtree(target)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """See :class:`imprint.authority.ledger.tile_store.TileStore`. The lock ends with the process that holds it."""
        path = self._root / _LOCK
        with storage_errors(path, "could not be locked"):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PUBLIC)
        try:
            with storage_errors(path, "could not be locked"):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
