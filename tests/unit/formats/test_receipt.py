"""Receipts: what is signed, and what is refused. ``openssl`` judges them in the integration tests."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from imprint.errors import FormatError, LedgerError
from imprint.formats.merkle import leaf_hash
from imprint.formats.note import ed25519_key, sign_note
from imprint.formats.receipt import signed_bytes, verify_receipt

SECRET = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = ed25519_key("example.com/ledger", SECRET.public_key().public_bytes_raw())
LEAF, TIME = leaf_hash(b"entry"), "2026-11-21T11:37:07.123Z"
SIGNATURE = SECRET.sign(signed_bytes(LEAF, TIME))


def test_a_good_receipt() -> None:
    assert signed_bytes(LEAF, TIME) == b"imprint/receipt/v1\0" + LEAF + b"2026-11-21T11:37:07.123Z"
    verify_receipt(leaf=LEAF, time=TIME, signature=SIGNATURE, key=KEY)


@pytest.mark.parametrize(
    ("leaf", "time", "signature"),
    [
        (leaf_hash(b"other"), TIME, SIGNATURE),
        (LEAF, "2026-11-21T11:37:07.124Z", SIGNATURE),
        (LEAF, TIME, SIGNATURE[:-1] + bytes([SIGNATURE[-1] ^ 1])),
        (LEAF, TIME, b""),
        (LEAF, TIME, SECRET.sign(LEAF + TIME.encode())),
    ],
)
def test_a_false_receipt(leaf: bytes, time: str, signature: bytes) -> None:
    with pytest.raises(LedgerError):
        verify_receipt(leaf=leaf, time=time, signature=signature, key=KEY)


@pytest.mark.parametrize(("leaf", "time"), [(LEAF[:-1], TIME), (LEAF, "2026-11-21"), (LEAF, TIME + "\n"), (LEAF, "")])
def test_malformed_parts(leaf: bytes, time: str) -> None:
    with pytest.raises(FormatError):
        signed_bytes(leaf, time)


def test_no_note_can_be_a_receipt() -> None:
    with pytest.raises(FormatError):
        sign_note(signed_bytes(bytes(32), TIME).decode() + "\n", KEY, SECRET.sign)
