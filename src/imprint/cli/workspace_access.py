"""The authority that a command works with: of a workspace on this machine, or the one that an enrolled folder names.

``viewing`` and ``asking`` take either and are for commands that work from afar too; ``reading`` and ``deciding`` are
for those that need the workspace itself.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import typer

from imprint.assemble import Platform, open_platform
from imprint.authority.decisions.outcome import Refusal
from imprint.cli import workspace_folder
from imprint.cli.output import note, show
from imprint.cli.passphrase import read_passphrase
from imprint.enrol import is_enrolled, open_enrolled
from imprint.errors import RefusedError, WorkspaceError
from imprint.formats.checkpoint import SignedCheckpoint
from imprint.https import client_tls
from imprint.person.open_requests import OpenRequests
from imprint.person.remote_authority import RemoteAuthority
from imprint.protocol.commands import Command
from imprint.protocol.person_port import PersonPort, View, Views
from imprint.protocol.refusals import Code
from imprint.reader import Reader, open_reader
from imprint.storage.workspace import load_workspace

T = TypeVar("T")


# --- here or from afar ---


class Asked(PersonPort, Protocol):
    """An authority that a command asks, perhaps not for the first time."""

    @property
    def earlier(self) -> str | None:
        """When the authority decided the last command, if an earlier run had asked it already; else None."""
        ...


@contextmanager
def viewing(ctx: typer.Context, passphrase_file: Path | None, passphrase_fd: int | None) -> Iterator[Views]:
    """The authority of ``-C`` or ``IMPRINT_HOME`` for reading; only from afar is a passphrase needed."""
    folder = workspace_folder(ctx)
    if is_enrolled(folder):
        with _remote(folder, passphrase_file, passphrase_fd) as remote:
            yield remote
    else:
        yield open_reader(folder)


@contextmanager
def asking(ctx: typer.Context, passphrase_file: Path | None, passphrase_fd: int | None) -> Iterator[Asked]:
    """The same authority for commands. Whoever is told that a command failed may run it again: from afar, what must not
    be decided twice is then asked under the same request ID."""
    folder = workspace_folder(ctx)
    if is_enrolled(folder):
        with _remote(folder, passphrase_file, passphrase_fd) as remote:
            yield remote
    else:
        with ExitStack() as stack:
            yield _OwnAuthority(
                open_reader(folder), lambda: stack.enter_context(deciding(ctx, passphrase_file, passphrase_fd))
            )


def show_decided(authority: Asked, result: Mapping[str, Any], *, as_json: bool) -> None:
    """As :func:`imprint.cli.output.show`; says so when the result is that of a command of an earlier run."""
    earlier = authority.earlier
    if earlier is None:
        show(result, as_json=as_json)
        return
    show({**result, "asked_before": True, "decided": earlier}, as_json=as_json)
    if not as_json:
        note(
            f"You had asked this before, and it is decided once, at {earlier}; what came of it may have changed since. "
            "If you mean it once more, run the command again"
        )


def crl_file(ctx: typer.Context) -> Path:
    """Where the last revocation list is written."""
    folder = workspace_folder(ctx)
    return open_enrolled(folder).crl if is_enrolled(folder) else load_workspace(folder).crl


class _OwnAuthority:
    """:class:`PersonPort` in this process. Keys are opened for the first command and not for what is read before it."""

    def __init__(self, reader: Reader, open_keys: Callable[[], Platform]) -> None:
        self._reader = reader
        self._open_keys = open_keys
        self._platform: Platform | None = None

    @property
    def earlier(self) -> None:
        """Each run asks for itself here."""
        return None

    def command(self, command: Command) -> str:
        if self._platform is None:
            self._platform = self._open_keys()
        return self._platform.command(command)

    def read(self, view: View, **names: str) -> dict[str, Any]:
        return self._reader.read(view, **names)

    def crl(self) -> bytes:
        return self._reader.crl()

    def access_ca(self) -> bytes:
        return self._reader.access_ca()


def _remote(folder: Path, passphrase_file: Path | None, passphrase_fd: int | None) -> RemoteAuthority:
    enrolled = open_enrolled(folder)
    passphrase = read_key_passphrase(folder, passphrase_file, passphrase_fd)
    tls = client_tls(folder, passphrase)
    requests = OpenRequests(enrolled.requests)
    return RemoteAuthority(enrolled.url, tls, requests=requests, access_ca=enrolled.access_ca())


def read_key_passphrase(folder: Path, file: Path | None, fd: int | None) -> bytes:
    """The passphrase of the key in an enrolled folder."""
    return read_passphrase(f"the key in {folder}", file=file, fd=fd).reveal()


# --- here only ---


def own_workspace(ctx: typer.Context, *, instead: str = "") -> Path:
    """The folder of ``-C`` or ``IMPRINT_HOME``, for a command that needs the workspace itself.

    Raises :class:`WorkspaceError` for a folder that is enrolled with an authority on another machine; ``instead`` says
    what works from there.
    """
    folder = workspace_folder(ctx)
    if is_enrolled(folder):
        raise WorkspaceError(
            "this works in the authority's own workspace only, and the folder is enrolled with an authority elsewhere",
            subject=str(folder),
            next_step=instead or "Have it done on that machine. 'imprint account enrol --help' says what works here",
        )
    return folder


def reading(ctx: typer.Context, *, instead: str = "") -> Reader:
    """The workspace, for what needs no passphrase; ``instead`` as for :func:`own_workspace`."""
    return open_reader(own_workspace(ctx, instead=instead))


@contextmanager
def deciding(ctx: typer.Context, passphrase_file: Path | None, passphrase_fd: int | None) -> Iterator[Platform]:
    """The workspace with its keys; the passphrase is asked for once the workspace is known to be sound."""

    def passphrase() -> bytes:
        return read_passphrase("workspace", file=passphrase_file, fd=passphrase_fd).reveal()

    with open_platform(own_workspace(ctx), passphrase) as platform:
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
