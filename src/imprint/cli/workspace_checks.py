"""What ``imprint doctor`` looks at in a workspace. None of it needs a passphrase."""

import os
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from imprint.authority.issuance.crl import last_crl
from imprint.authority.ledger.envelope import open_entry
from imprint.cli.finding import Finding, Status, attempt
from imprint.cli.machine_checks import check_clock
from imprint.clock import from_text
from imprint.errors import ImprintError
from imprint.formats.crl import encode_pem
from imprint.formats.x509 import is_issued_by, parse_ca_certificate
from imprint.reader import Reader, open_reader
from imprint.storage.files import MAX_SIZE, read_file_if_any
from imprint.storage.workspace import SETTINGS, load_workspace

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_SOON: Final = timedelta(days=365)


def workspace_checks(folder: Path, now: datetime) -> Iterator[Finding]:
    """Every check of a workspace; a broken part fails its own check, and ends those that build on it."""
    settings = attempt("settings", lambda: check_settings(folder))
    yield settings
    if settings.status is Status.FAIL:
        return
    yield check_permissions(folder)
    yield check_root_key(folder)
    try:
        reader = open_reader(folder)
    except ImprintError as problem:
        yield Finding(check="database", status=Status.FAIL, found=str(problem), next_step=problem.next_step)
        return
    yield attempt("CA certificates", lambda: check_chain(reader, now))
    yield attempt("clock and ledger", lambda: check_last_entry(reader, now))
    yield attempt("database and checkpoint", lambda: check_checkpoint(reader))
    yield check_copy(reader)
    yield attempt("revocation list", lambda: check_crl(reader, now))


def check_settings(folder: Path) -> Finding:
    """``imprint.toml`` is there and makes sense."""
    workspace = load_workspace(folder)
    return Finding(check="settings", found=f"{workspace.organization}, {folder.absolute() / SETTINGS}")


def check_permissions(folder: Path) -> Finding:
    """Nobody but the owner may enter the folder, or read a private key, the database or a journal."""
    private = [path for path in (folder / "keys").glob("*.pem") if not path.name.endswith(".pub.pem")]
    private += [*(folder / "root").glob("root.pem"), *folder.glob("imprint.db*"), *(folder / "station").glob("*")]
    open_files = [path for path in private if path.stat().st_mode & _OTHERS]
    if open_files:
        names = " ".join(str(path) for path in sorted(open_files))
        return Finding(
            check="permissions", status=Status.FAIL, found=f"open to others: {names}", next_step=f"chmod go= {names}"
        )
    if folder.stat().st_mode & _OTHERS:
        return Finding(
            check="permissions",
            status=Status.WARN,
            found="others may enter the folder",
            next_step=f"chmod 700 {folder}",
        )
    if not os.access(folder, os.W_OK):
        return Finding(
            check="permissions",
            status=Status.WARN,
            found="this user can read the workspace, not write it",
            next_step="Decide as the user who owns it",
        )
    return Finding(check="permissions", found=f"folder and {len(private)} private files are the owner's alone")


def check_root_key(folder: Path) -> Finding:
    """The root CA's key is not beside the keys that work every day."""
    if (folder / "root" / "root.pem").exists():
        return Finding(
            check="root key",
            status=Status.WARN,
            found=f"it is in the workspace, {folder / 'root'}",
            next_step="Move that folder to a medium that you keep off-line; only another device CA needs it",
        )
    return Finding(check="root key", found="not in the workspace")


def check_chain(reader: Reader, now: datetime) -> Finding:
    """The device CA is the root's, and both are valid for a while yet."""
    ca, root = reader.chain()
    lives = [parse_ca_certificate(certificate) for certificate in (ca, root)]
    ends = min(life.not_after for life in lives)
    if not (is_issued_by(ca, root) and is_issued_by(root, root)):
        return Finding(
            check="CA certificates",
            status=Status.FAIL,
            found="certs/ca.pem was not issued by certs/root.pem",
            next_step="Restore the certs folder from a backup",
        )
    if ends - now < _SOON:
        return Finding(
            check="CA certificates",
            status=Status.FAIL if ends < now else Status.WARN,
            found=f"the first ends on {ends:%Y-%m-%d}",
            next_step="Plan a new workspace with new CAs; identities that were issued stay valid",
        )
    return Finding(check="CA certificates", found=f"valid until {ends:%Y-%m-%d}")


def check_last_entry(reader: Reader, now: datetime) -> Finding:
    """The clock is not before the last decision."""
    with reader.store.reading() as store:
        size = store.size()
        if not size:
            return Finding(check="clock and ledger", found="no decision yet")
        _, data, opening = next(store.entries(size - 1))
    last = from_text(open_entry(data, opening, subject=f"entries row {size - 1}").time)
    finding = check_clock(now, last, f"the ledger's last decisions (entry {size - 1})")
    return Finding(check="clock and ledger", status=finding.status, found=finding.found, next_step=finding.next_step)


def check_checkpoint(reader: Reader) -> Finding:
    """The database is not older than a checkpoint over it, and all of it is under one."""
    reader.refuse_rollback()
    head = reader.tree.head()
    with reader.store.reading() as store:
        committed = store.size()
    integrated = head.size if head else 0
    if committed > integrated:
        return Finding(
            check="database and checkpoint",
            status=Status.WARN,
            found=f"{committed - integrated} of {committed} entries are under no checkpoint yet",
            next_step="If no station is at work: 'imprint ledger checkpoint'",
        )
    return Finding(
        check="database and checkpoint",
        found=f"all {committed} entries are under the checkpoint; 'imprint ledger verify' compares every row",
    )


def check_copy(reader: Reader) -> Finding:
    """A second copy of the checkpoint is kept elsewhere: only that shows that the whole folder was put back."""
    path = reader.workspace.checkpoint_copy
    if path is None:
        return Finding(
            check="checkpoint copy",
            status=Status.WARN,
            found="none: an older copy of the whole folder would not be noticed",
            next_step=f"Set checkpoint-copy in {SETTINGS} to a place on another disk",
        )
    if not path.parent.is_dir():
        return Finding(
            check="checkpoint copy",
            status=Status.FAIL,
            found=f"{path.parent} is not there",
            next_step="Mount it: without it decisions cannot be completed",
        )
    return Finding(check="checkpoint copy", found=str(path))


def check_crl(reader: Reader, now: datetime) -> Finding:
    """What was revoked is on a list that still holds, and the last list is where it can be fetched."""
    with reader.store.reading() as store:
        revoked, last = len(store.find("revocations")), last_crl(store)
        pem = encode_pem(store.blob(last["crl"])) if last is not None else None
    listed = last["revoked"] if last is not None else 0
    problem = ""
    if revoked > listed:
        problem = f"certificates that are revoked and on no list: {revoked - listed}"
    elif last is not None and from_text(last["next_update"]) < now:
        problem = f"number {last['number']} ended at {last['next_update']}"
    elif last is not None and read_file_if_any(reader.workspace.crl, limit=MAX_SIZE) != pem:
        problem = f"{reader.workspace.crl} is not number {last['number']}, the last one"
    if problem:
        next_step = "Sign the next one: 'imprint crl sign'"
        return Finding(check="revocation list", status=Status.WARN, found=problem, next_step=next_step)
    found = f"number {last['number']}, until {last['next_update']}" if last is not None else "none is needed yet"
    return Finding(check="revocation list", found=found)
