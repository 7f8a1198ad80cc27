"""The workspace that a command works in: for reading, or, with a passphrase, for deciding."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import typer

from imprint.assemble import Platform, Reader, open_platform, open_reader
from imprint.authority.decisions.outcome import Refusal
from imprint.cli import workspace_folder
from imprint.cli.passphrase import read_passphrase
from imprint.errors import RefusedError
from imprint.formats.checkpoint import SignedCheckpoint
from imprint.protocol.refusals import Code

T = TypeVar("T")


def reading(ctx: typer.Context) -> Reader:
    """The workspace of ``-C`` or ``IMPRINT_HOME``, for what needs no passphrase."""
    return open_reader(workspace_folder(ctx))


@contextmanager
def deciding(ctx: typer.Context, passphrase_file: Path | None, passphrase_fd: int | None) -> Iterator[Platform]:
    """The same workspace with its keys; the passphrase is asked for once the workspace is known to be sound."""

    def passphrase() -> bytes:
        return read_passphrase("workspace", file=passphrase_file, fd=passphrase_fd).reveal()

    with open_platform(workspace_folder(ctx), passphrase) as platform:
        yield platform


def signed_head(reader: Reader) -> SignedCheckpoint:
    """The last checkpoint. Raises :class:`RefusedError` when there is none yet."""
    head = reader.tree.head()
    if head is None:
        raise RefusedError(
            "there is no checkpoint yet", code=Code.NOT_COVERED, next_step="Run 'imprint ledger checkpoint'"
        )
    return head


def told(ask: Callable[[], T]) -> T:
    """What ``ask`` finds in the store; its refusal as an error for people."""
    try:
        return ask()
    except Refusal as refusal:
        answer = refusal.result
        raise RefusedError(answer.message, code=answer.code, next_step=answer.next_step) from None
