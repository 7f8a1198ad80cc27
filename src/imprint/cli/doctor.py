"""``imprint doctor``: is this machine, and this workspace, fit for work?"""

import os
import shutil
import sqlite3
import ssl
import stat
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import typer

from imprint.assemble import Reader, open_reader
from imprint.authority.decisions.guard import refuse_rollback
from imprint.cli import workspace_folder
from imprint.cli.output import Json, show
from imprint.clock import from_text, system_clock
from imprint.encoding import parse_json_object
from imprint.errors import ImprintError, WorkspaceError
from imprint.storage.workspace import SETTINGS

app = typer.Typer(add_completion=False)

Finding = tuple[str, str, str]  # what was checked, ok | warn | fail, what was found
OK, WARN, FAIL = "ok", "warn", "fail"

LEAST_FREE: Final = 1 << 30
CLOCK_SLACK: Final = timedelta(minutes=5)
SERIAL_PORTS: Final = ("ttyUSB*", "ttyACM*", "serial/by-id/*")


@app.command()
def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """Check versions, ports, disk, clock, and, in a workspace, its permissions, keys, schema and checkpoint.

    Example: imprint -C ./acme doctor
    """
    folder = workspace_folder(ctx)
    findings = list(_machine(folder))
    if (folder / SETTINGS).exists():
        findings += _workspace(folder)
    else:
        findings.append(("workspace", WARN, f"{folder.absolute()} is not one; name one with -C DIR"))
    rows: list[dict[str, Any]] = [{"check": name, "state": state, "found": found} for name, state, found in findings]
    show({"checks": rows}, as_json=as_json)
    failed = [name for name, state, _ in findings if state == FAIL]
    if failed:
        raise WorkspaceError(f"not fit for work: {', '.join(failed)}", subject=str(folder))


def _machine(folder: Path) -> Iterator[Finding]:
    yield "python", OK, sys.version.split()[0]
    yield "imprint", OK, version("imprint")
    yield "cryptography", OK, f"{version('cryptography')}, {ssl.OPENSSL_VERSION}"
    sqlite = sqlite3.sqlite_version_info >= (3, 35)
    yield "sqlite", OK if sqlite else FAIL, sqlite3.sqlite_version
    free = shutil.disk_usage(folder if folder.is_dir() else Path()).free
    yield "disk", OK if free >= LEAST_FREE else WARN, f"{free // (1 << 20)} MiB free"
    ports = sorted({str(port.resolve()) for pattern in SERIAL_PORTS for port in Path("/dev").glob(pattern)})
    closed = [port for port in ports if not os.access(port, os.R_OK | os.W_OK)]
    if closed:
        yield "serial ports", FAIL, f"no permission for {', '.join(closed)}: join the group that owns them"
    else:
        yield "serial ports", OK if ports else WARN, ", ".join(ports) or "no board is plugged in"


def _workspace(folder: Path) -> Iterator[Finding]:
    try:
        reader = open_reader(folder)
    except ImprintError as problem:
        yield "workspace", FAIL, str(problem)
        return
    yield "workspace", OK, f"{reader.workspace.organization}, ledger {reader.workspace.origin}"
    checks: tuple[Callable[[Reader], Finding], ...] = (_permissions, _root_key, _clock, _checkpoint, _copy)
    for check in checks:
        try:
            yield check(reader)
        except ImprintError as problem:
            yield check.__name__.strip("_").replace("_", " "), FAIL, str(problem)


def _permissions(reader: Reader) -> Finding:
    folder = reader.workspace.folder
    private = [
        folder,
        reader.workspace.database,
        *(p for p in (folder / "keys").glob("*.pem") if ".pub." not in p.name),
    ]
    open_ones = [path.name for path in private if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if open_ones:
        return "permissions", FAIL, f"others may use {', '.join(open_ones)}: chmod go= them"
    return "permissions", OK, "folder, database and keys are yours alone"


def _root_key(reader: Reader) -> Finding:
    inside = reader.workspace.folder / "root" / "root.pem"
    if inside.exists():
        return "root key", WARN, f"{inside} is on this machine: move it to a medium that you keep off-line"
    return "root key", OK, "not in the workspace"


def _clock(reader: Reader) -> Finding:
    with reader.store.reading() as store:
        size = store.size()
        if size == 0:
            return "clock", OK, "nothing was decided yet"
        _, data, _ = next(store.entries(size - 1, size))
    last = from_text(parse_json_object(data, subject="last entry")["time"])
    now = system_clock()
    if now + CLOCK_SLACK < last:
        return "clock", FAIL, f"it says {now:%F %T}, before the last entry of {last:%F %T}: set it"
    return "clock", OK, f"{now:%F %T} UTC, after the last entry"


def _checkpoint(reader: Reader) -> Finding:
    with reader.store.reading() as store:
        refuse_rollback(store, reader.tree, reader.outside_checkpoints())
        head, committed = reader.tree.head(), store.size()
    integrated = head.size if head else 0
    if integrated < committed:
        return "checkpoint", WARN, f"{committed - integrated} entries are not under one: imprint ledger checkpoint"
    return "checkpoint", OK, f"covers all {committed} entries"


def _copy(reader: Reader) -> Finding:
    copy = reader.workspace.checkpoint_copy
    if copy is None:
        return "checkpoint copy", WARN, "none: an older copy of the whole folder would not be noticed (imprint.toml)"
    return "checkpoint copy", OK, str(copy)
