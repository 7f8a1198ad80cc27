"""openssl judges what the ledger's key signs: receipts and checkpoints."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from imprint.formats.checkpoint import Checkpoint, sign_checkpoint
from imprint.formats.merkle import leaf_hash
from imprint.formats.note import ed25519_key, parse_note
from imprint.formats.receipt import signed_bytes

SECRET = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = ed25519_key("example.com/ledger", SECRET.public_key().public_bytes_raw())
LEAF, TIME = leaf_hash(b"entry"), "2026-11-21T11:37:07.123Z"
NOTE = parse_note(sign_checkpoint(Checkpoint(origin=KEY.name, size=1, root=LEAF), KEY, SECRET.sign).note)
CHECKPOINT, RECEIPT = NOTE.signatures[0].value, SECRET.sign(signed_bytes(LEAF, TIME))


@pytest.mark.parametrize(
    ("message", "signature", "good"),
    [
        (NOTE.text.encode(), CHECKPOINT, True),
        (NOTE.text.encode() + b"\n", CHECKPOINT, False),
        (b"imprint/receipt/v1\0" + LEAF + TIME.encode(), RECEIPT, True),
        (LEAF + TIME.encode(), RECEIPT, False),
    ],
)
def test_openssl(tmp_path: Path, message: bytes, signature: bytes, good: bool) -> None:
    public = SECRET.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for name, data in (("key.der", public), ("message", message), ("signature", signature)):
        (tmp_path / name).write_bytes(data)
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.der"]
    command += ["-in", "message", "-sigfile", "signature"]
    assert (subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0) is good
