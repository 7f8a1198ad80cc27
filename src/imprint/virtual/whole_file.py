"""A file that is whole or as it was, however the process ends."""

import os
from pathlib import Path

from imprint.errors import StorageError


def write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace the file in one step, or raise :class:`StorageError` and leave it as it was.

    Not synced: a unit must survive the end of its process, which stands for its power. The host's power is another.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        draft.replace(path)
    except OSError as problem:
        raise StorageError(problem.strerror or "not written", subject=str(path)) from problem
