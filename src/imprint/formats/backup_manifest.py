"""``backup.json``: what a backup of a workspace holds, file by file. ``docs/formats/backup.md`` has the specification.

It finds damage, not forgery: whoever can change a file of a backup can change this one too.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from imprint.encoding import canonical, parse_json_object, sha256_hex
from imprint.errors import FormatError
from imprint.formats.statement import Count, Sha256, Text, Time, strict

NAME: Final = "backup.json"
FORMAT: Final = "imprint-backup/v1"

# Relative, of parts that do not begin with a dot: nothing above the folder, and nothing hidden.
_PATH: Final = r"^[^./\x00][^/\x00]*(/[^./\x00][^/\x00]*)*$"


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUpFile:
    """One file; ``private``: for its owner alone."""

    path: Annotated[str, Field(pattern=_PATH)]
    size: Count
    sha256: Sha256
    private: bool


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class BackupManifest:
    """When and by which version the backup was made, of which ledger, and its files. The database has ``entries``
    entries; ``checkpoint_size`` of them are under the checkpoint with this root."""

    made_at: Time
    program: Text
    origin: Text
    entries: Count
    checkpoint_size: Count
    checkpoint_root: Sha256
    files: tuple[BackedUpFile, ...]


_adapter: Final = TypeAdapter(BackupManifest)


def encode_manifest(manifest: BackupManifest) -> bytes:
    """Readable JSON that ends with a hash over the rest. Raises :class:`FormatError` for what :func:`decode_manifest`
    would refuse, so that what cannot be restored is never called a backup."""
    data = _encode(manifest)
    decode_manifest(data, subject=NAME)
    return data


def _encode(manifest: BackupManifest) -> bytes:
    fields: dict[str, Any] = {"format": FORMAT, **_adapter.dump_python(manifest, mode="json")}
    fields["check"] = sha256_hex(canonical(fields))
    return (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode()


def decode_manifest(data: bytes, *, subject: str) -> BackupManifest:
    """The manifest in ``data``. Raises :class:`FormatError` unless it is, byte for byte, what :func:`encode_manifest`
    gives."""
    fields = parse_json_object(data, subject=subject)
    if fields.pop("format", None) != FORMAT:
        raise FormatError(f"not a manifest of the format {FORMAT}", subject=subject, next_step=_NEXT)
    fields.pop("check", None)
    try:
        manifest = _adapter.validate_json(json.dumps(fields))
        again = _encode(manifest)
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FormatError(f"{first['msg']} at {place or 'the top'}", subject=subject, next_step=_NEXT) from None
    except FormatError as problem:  # a time that is none, or text that has no bytes
        raise FormatError(problem.what, subject=subject, next_step=_NEXT) from None
    if again != data:
        raise FormatError("changed since it was written", subject=subject, next_step=_NEXT)
    return manifest


_NEXT: Final = "Use another backup, or another copy of this one"
