"""The receipt for a decision: the ledger's key signs the entry's leaf hash and time before the reply goes out, so that
an entry that was later left out of the ledger can be proven. ``docs/formats/receipt.md`` is the specification.
"""

from typing import Final

from imprint.clock import from_text
from imprint.errors import FormatError, LedgerError
from imprint.formats.merkle import HASH_SIZE
from imprint.formats.note import VerifierKey

# The zero byte keeps receipts apart from notes, which the same key signs and which hold no control characters.
CONTEXT: Final = b"imprint/receipt/v1\x00"


def signed_bytes(leaf: bytes, time: str) -> bytes:
    """What is signed: the context, the RFC 6962 leaf hash (32 bytes), and the time as :mod:`imprint.clock` writes it.

    Raises :class:`FormatError` for another length or form.
    """
    if len(leaf) != HASH_SIZE:
        raise FormatError(f"a leaf hash has {HASH_SIZE} bytes", subject="receipt")
    from_text(time)
    return CONTEXT + leaf + time.encode()


def verify_receipt(*, leaf: bytes, time: str, signature: bytes, key: VerifierKey) -> None:
    """Raise :class:`LedgerError` unless ``key``, the ledger's, signed this leaf hash and time. Raises as
    :func:`signed_bytes` does."""
    if not key.verifies(signed_bytes(leaf, time), signature):
        raise LedgerError("the receipt's signature is false", subject=key.name, next_step="Do not trust this reply")
