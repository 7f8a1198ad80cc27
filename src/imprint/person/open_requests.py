"""Requests that were sent and not answered: each ID is kept until whoever asked has the answer."""

import secrets
from pathlib import Path

from imprint.encoding import sha256_hex
from imprint.storage.files import make_folder, read_file_if_any, storage_errors, sync_folder, write_file

_LIMIT = 1 << 10


class OpenRequests:
    """A file for each, in ``folder``, named after the hash of what is asked. What is asked is not kept: whoever asks
    for the same again brings it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def is_open(self, asked: bytes) -> bool:
        """Whether these bytes were asked before and not answered."""
        return read_file_if_any(self._path(asked), limit=_LIMIT) is not None

    def open(self, asked: bytes) -> str:
        """The ID under which to ask; durable. The same as before when these bytes were asked and not answered."""
        path = self._path(asked)
        known = read_file_if_any(path, limit=_LIMIT)
        if known is not None:
            return known.decode("ascii", errors="replace").strip()
        request_id = secrets.token_hex(16)
        make_folder(self._folder)
        write_file(path, f"{request_id}\n".encode())
        return request_id

    def close(self, asked: bytes) -> None:
        """The answer is here: the same bytes are a new request from now on, durably."""
        path = self._path(asked)
        with storage_errors(path, "could not be removed"):
            path.unlink(missing_ok=True)
        sync_folder(self._folder)

    def _path(self, asked: bytes) -> Path:
        return self._folder / sha256_hex(asked)
