"""A workspace from a backup. It appears whole or not at all.

Whether it may decide is not said here: whoever opens it to decide compares it with the checkpoints outside it, as ever.
"""

from pathlib import Path

from imprint.errors import ImprintError, InputError
from imprint.formats.backup_manifest import NAME, BackedUpFile, BackupManifest, decode_manifest
from imprint.formats.checkpoint import SignedCheckpoint
from imprint.reader import Reader, open_reader
from imprint.storage.database import begin_log
from imprint.storage.files import (
    PRIVATE,
    PUBLIC,
    copy_file,
    hash_file,
    make_folder,
    read_file,
    read_file_if_any,
    write_file,
)
from imprint.storage.folder import new_folder, refuse_occupied


def restore_backup(backup: Path, folder: Path, *, checkpoint: Path | None = None) -> BackupManifest:
    """Make a workspace at ``folder``, which is absent or empty, of what the backup's manifest names.

    The workspace keeps ``checkpoint``, and decides nothing when its database is older. Raises :class:`InputError` that
    names the file of the backup that is missing or changed, or a checkpoint that is not this ledger's;
    :class:`imprint.errors.WorkspaceError` for a folder that is occupied, and :class:`imprint.errors.StorageError`.
    """
    refuse_occupied(folder)
    manifest = read_manifest(backup)
    with new_folder(folder) as building:
        building.chmod(0o700)
        for file in manifest.files:
            _restore(backup, building, file)
        make_folder(building / "station")
        reader = open_reader(building)
        if checkpoint is not None:
            _keep(reader, checkpoint)
        begin_log(reader.workspace.database)
    return manifest


def read_manifest(backup: Path) -> BackupManifest:
    """The manifest of a backup. Raises :class:`InputError` when there is none or it was changed."""
    data = read_file_if_any(backup / NAME)
    if data is None:
        raise InputError(
            f"not a backup: there is no {NAME}", subject=str(backup), next_step="Name a folder of 'imprint backup'"
        )
    return decode_manifest(data, subject=str(backup / NAME))


def _restore(backup: Path, folder: Path, file: BackedUpFile) -> None:
    """The copy is what is compared: nothing can change between the check and the use."""
    source, target = backup / file.path, folder / file.path
    if not source.is_file():
        raise InputError("the file is missing from the backup", subject=str(source), next_step=_NEXT)
    make_folder(target.parent)
    copy_file(source, target, mode=PRIVATE if file.private else PUBLIC)
    if hash_file(target) != (file.size, file.sha256):
        raise InputError("the file is not the one that was backed up", subject=str(source), next_step=_NEXT)


_NEXT = "Nothing was restored. Use another backup, or another copy of this one"


def _keep(reader: Reader, path: Path) -> None:
    """Keep the checkpoint in ``path``, unless the backup comes from a workspace that knew a later one."""
    known, named = reader.known_checkpoint(), _open(reader, path)
    if known is None or known.size < named.size:
        write_file(reader.workspace.known_checkpoint, named.note)


def _open(reader: Reader, path: Path) -> SignedCheckpoint:
    note = read_file(path)
    try:
        return reader.open_checkpoint(note)
    except ImprintError as problem:
        raise InputError(
            f"not a checkpoint of this ledger: {problem.what}",
            subject=str(path),
            next_step="Name ledger/checkpoint of the lost workspace or of an export, or its copy elsewhere",
        ) from problem
