"""A workspace: one folder with readable settings, the database, the keys and the ledger's public files.

::

    imprint.toml          settings; no secrets
    imprint.db            SQLite
    keys/NAME.pem         encrypted private keys     keys/NAME.pub.pem   their public halves
    certs/root.pem ca.pem crl.pem                    the CAs of the units' identities, and what is revoked
    certs/access-ca.pem service.pem                  the CA of accounts, and the service's certificate
    ledger/               vkey, checkpoint, tiles and entry bundles: what the public may read
    station/              the journals of the stations that run here
    known-checkpoint      only in one that was restored: a checkpoint that was known then
    ledger-1/ …           only in one that was reconciled: the ledger as it was under its earlier name
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imprint.errors import WorkspaceError
from imprint.storage.files import read_file, write_file

SETTINGS: Final = "imprint.toml"
EARLIER: Final = "ledger-[0-9]*"  # folders of a ledger's earlier generations
_ORIGIN: Final = re.compile(r"^(\s*origin\s*=\s*).*$", re.MULTILINE)
VERSION: Final = 1
MAX_SETTINGS: Final = 1 << 16
_CORRECT: Final = "Correct the file, or restore it from a backup"
KEY_NAMES: Final = ("device-ca", "ledger", "record", "firmware", "access-ca", "service")

_TEMPLATE: Final = """\
# An Imprint workspace. Nothing in this file is secret.

[workspace]
version = {version}
organization = {organization}
# The ledger's name in checkpoints. It changes only when decisions are lost, by 'imprint ledger reconcile'.
origin = {origin}

[keys]
# Where each key is: "file:" and a path from this folder.
{keys}

[ledger]
# A second place for the last checkpoint, outside this folder: on another disk, or on a share that only you write to.
# With it, an older copy of this whole folder is noticed and issues nothing. To begin, copy ledger/checkpoint there.
# checkpoint-copy = "/mnt/elsewhere/imprint-checkpoint"
"""


class _WorkspaceTable(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: int
    organization: str
    origin: str


class _LedgerTable(BaseModel):
    model_config = ConfigDict(extra="forbid")
    checkpoint_copy: str | None = Field(default=None, alias="checkpoint-copy")


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    workspace: _WorkspaceTable
    keys: dict[Annotated[str, Field(pattern=f"^({'|'.join(KEY_NAMES)})$")], str]
    ledger: _LedgerTable = _LedgerTable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A workspace's folder and settings."""

    folder: Path
    organization: str
    origin: str
    keys: dict[str, str]
    checkpoint_copy: Path | None

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "imprint.db"

    @property
    def known_checkpoint(self) -> Path:
        """A checkpoint that somebody named when this workspace was restored; absent if nobody did."""
        return self.folder / "known-checkpoint"

    @property
    def ledger(self) -> Path:
        """The folder that the public may read."""
        return self.folder / "ledger"

    @property
    def root_certificate(self) -> Path:
        """PEM."""
        return self.folder / "certs" / "root.pem"

    @property
    def ca_certificate(self) -> Path:
        """PEM."""
        return self.folder / "certs" / "ca.pem"

    @property
    def access_ca_certificate(self) -> Path:
        """PEM."""
        return self.folder / "certs" / "access-ca.pem"

    @property
    def service_certificate(self) -> Path:
        """PEM; made anew each time that the service starts."""
        return self.folder / "certs" / "service.pem"

    @property
    def crl(self) -> Path:
        """PEM; absent before the first list."""
        return self.folder / "certs" / "crl.pem"

    @property
    def next_ledger(self) -> Path:
        """The ledger's next generation, until it takes the place of :attr:`ledger`."""
        return self.folder / "ledger-next"

    def earlier_ledger(self, generation: int) -> Path:
        """Where a generation of the ledger lies once it has ended."""
        return self.folder / f"ledger-{generation}"

    def public_key(self, name: str) -> Path:
        """The public half of a key, PEM."""
        return self.folder / "keys" / f"{name}.pub.pem"

    def journal(self, station: str) -> Path:
        """The journal of a station that runs in this workspace."""
        return self.folder / "station" / f"{station}.journal"


def settings_text(*, organization: str, origin: str) -> bytes:
    """A new workspace's ``imprint.toml``."""
    keys = "\n".join(f'{name} = "file:keys/{name}.pem"' for name in KEY_NAMES)
    text = _TEMPLATE.format(version=VERSION, organization=_quote(organization), origin=_quote(origin), keys=keys)
    return text.encode()


def rename_origin(workspace: Workspace, origin: str) -> None:
    """Give the ledger another name in the settings, which stay as their owner wrote them but for that. Raises
    :class:`WorkspaceError` for settings in which it cannot be done, and :class:`imprint.errors.StorageError`."""
    path = workspace.folder / SETTINGS
    text = read_file(path, limit=MAX_SETTINGS).decode()
    renamed = _ORIGIN.sub(lambda found: found[1] + _quote(origin), text, count=1)
    if tomllib.loads(renamed)["workspace"]["origin"] != origin:
        raise WorkspaceError(
            "the ledger's new name could not be written",
            subject=str(path),
            next_step=f"Set origin = {_quote(origin)} under [workspace] with an editor; that ends the reconciliation",
        )
    write_file(path, renamed.encode())


def load_workspace(folder: Path) -> Workspace:
    """Read the settings. Raises :class:`WorkspaceError` that says what is wrong and where."""
    path = folder / SETTINGS
    if not path.is_file():
        raise WorkspaceError(
            "not a workspace: there is no imprint.toml",
            subject=str(folder),
            next_step="Name one with -C DIR or IMPRINT_HOME, or make one with 'imprint init DIR'",
        )
    try:
        found: dict[str, Any] = tomllib.loads(read_file(path, limit=MAX_SETTINGS).decode())
        settings = _Settings.model_validate(found)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise WorkspaceError(f"{field}: {first['msg']}", subject=str(path), next_step=_CORRECT) from None
    except (ValueError, RecursionError) as problem:
        raise WorkspaceError(f"not TOML: {problem}", subject=str(path), next_step=_CORRECT) from None
    if settings.workspace.version != VERSION:
        raise WorkspaceError(
            f"the workspace has version {settings.workspace.version}; this program knows {VERSION}",
            subject=str(path),
            next_step="Use the program that made it, or a newer one",
        )
    missing = sorted(set(KEY_NAMES) - settings.keys.keys())
    if missing:
        raise WorkspaceError(f"[keys] lacks {', '.join(missing)}", subject=str(path), next_step=_CORRECT)
    copy = settings.ledger.checkpoint_copy
    return Workspace(
        folder=folder,
        organization=settings.workspace.organization,
        origin=settings.workspace.origin,
        keys=settings.keys,
        checkpoint_copy=folder / copy if copy else None,
    )


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
