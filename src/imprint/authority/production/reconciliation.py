"""The sum of a lot: granted + refunded = shipped + scrapped + quarantined + unused, signed when the lot closes."""

from typing import Any, Final

from imprint.authority.decisions.changes import Row
from imprint.encoding import sha256_hex
from imprint.errors import LedgerError
from imprint.formats.dsse import IN_TOTO, sign_envelope
from imprint.formats.reconciliation import Reconciliation, encode
from imprint.keys.signer import Signer

_UNUSED: Final = "unused"
SUMMARY: Final = (
    *("lot", "product", "state", "granted", "refunded", "shipped", "scrapped", "quarantined", "in_work"),
    _UNUSED,
)


def reconcile(lot: Row, contested: tuple[str, ...], *, size: int, root: bytes, time: str) -> Reconciliation:
    """The sum of a lot with nothing in work, under the checkpoint of this size and root."""
    if lot["in_work"]:
        raise LedgerError("units are still in work", subject=f"lot {lot['lot']}")
    return Reconciliation(
        lot=lot["lot"],
        product=lot["product"],
        granted=lot["granted"],
        refunded=lot["refunded"],
        shipped=lot["shipped"],
        scrapped=lot["scrapped"],
        quarantined=lot["quarantined"],
        unused=unused(lot),
        contested=contested,
        checkpoint_size=size,
        checkpoint_root=root.hex(),
        closed_at=time,
    )


def lot_summary(lot: Row) -> dict[str, Any]:
    """A lot as people read it: its state and its counts."""
    return {name: unused(lot) if name == _UNUSED else lot[name] for name in SUMMARY}


def unused(lot: Row) -> int:
    """Places of the grant that nobody took."""
    taken = lot["in_work"] + lot["shipped"] + lot["scrapped"] + lot["quarantined"]
    return int(lot["granted"] + lot["refunded"] - taken)


def signed(reconciliation: Reconciliation, signer: Signer) -> bytes:
    """The DSSE envelope."""
    key_id = sha256_hex(signer.public_key)
    return sign_envelope(IN_TOTO, encode(reconciliation), key_id=key_id, sign=signer.sign).encode()
