"""``backup.json``: what is written is read, and nothing else is."""

import json
from dataclasses import replace

import pytest

from imprint.encoding import canonical, sha256_hex
from imprint.errors import FormatError
from imprint.formats.backup_manifest import BackedUpFile, BackupManifest, decode_manifest, encode_manifest

FILE = BackedUpFile(path="keys/ledger.pem", size=7, sha256="ab" * 32, private=True)
MANIFEST = BackupManifest(
    made_at="2026-11-21T11:37:07.123Z",
    program="0.1.0",
    origin="example.com/ledger",
    entries=9,
    checkpoint_size=7,
    checkpoint_root="cd" * 32,
    files=(FILE, replace(FILE, path="certs/größe.pem", private=False)),
)
DATA = encode_manifest(MANIFEST)


def forged(**changes: object) -> bytes:
    """The manifest with other fields, and with the check that they ask for."""
    fields = json.loads(DATA) | changes
    del fields["check"]
    fields["check"] = sha256_hex(canonical(fields))
    return (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode()


def test_there_and_back() -> None:
    assert decode_manifest(DATA, subject="backup.json") == MANIFEST
    assert decode_manifest(forged(entries=8), subject="backup.json") == replace(MANIFEST, entries=8)


def test_any_changed_byte_is_found() -> None:
    for at in range(len(DATA)):
        for bit in (1, 128):
            changed = DATA[:at] + bytes((DATA[at] ^ bit,)) + DATA[at + 1 :]
            with pytest.raises(FormatError) as caught:
                decode_manifest(changed, subject="b/backup.json")
            assert caught.value.subject == "b/backup.json"


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", DATA[:-1], DATA[: len(DATA) // 2], DATA + b" "])
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_manifest(data, subject="backup.json")


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "keys/../../x", "keys//x", "", ".", "keys/.x", ".lock", "keys/", "a\0b"],
)
def test_a_path_stays_in_the_folder(path: str) -> None:
    files = [{"path": path, "size": 7, "sha256": "ab" * 32, "private": True}]
    with pytest.raises(FormatError, match=r"at files\.0\.path"):
        decode_manifest(forged(files=files), subject="backup.json")


@pytest.mark.parametrize("path", ["../x", "a/.b", "\udcff"])
def test_what_cannot_be_restored_is_not_written(path: str) -> None:
    with pytest.raises(FormatError):
        encode_manifest(replace(MANIFEST, files=(replace(FILE, path=path),)))


@pytest.mark.parametrize(
    "changes", [{"format": "imprint-backup/v2"}, {"entries": -1}, {"entries": "9"}, {"more": 1}, {"made_at": "now"}]
)
def test_other_fields_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        decode_manifest(forged(**changes), subject="backup.json")
