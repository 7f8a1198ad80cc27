"""What people read: JSON from the store's rows."""

import json
from typing import Any, Final

from imprint.assemble import Reader
from imprint.authority.decisions.changes import Row
from imprint.authority.issuance.crl import last_crl
from imprint.authority.production.reconciliation import lot_summary
from imprint.errors import RefusedError
from imprint.protocol.refusals import Code

_UNIT: Final = ("serial", "hardware_id", "lot", "product", "state", "station", "certificate", "record")
_ACCOUNT: Final = ("name", "role", "state", "valid_until", "code_until")


def lots(reader: Reader) -> bytes:
    """All lots with their counts."""
    with reader.store.reading() as store:
        return _json({"lots": [lot_summary(row) for row in store.find("lots")]})


def lot(reader: Reader, name: str) -> bytes:
    """One lot with its counts."""
    with reader.store.reading() as store:
        row = store.get("lots", lot=name)
        if row is None:
            raise RefusedError(f"there is no lot {name}", code=Code.UNKNOWN_LOT)
        return _json(lot_summary(row))


def unit(reader: Reader, name: str) -> bytes:
    """The epochs of a unit, by serial number or hardware ID."""
    with reader.store.reading() as store:
        rows = store.find("units", serial=name) or store.find("units", hardware_id=name)
        if not rows:
            raise RefusedError(f"there is no unit {name}", code=Code.UNKNOWN_UNIT)
        return _json({"units": [_pick(row, _UNIT) | {"contested": bool(row["contested"])} for row in rows]})


def revocation(reader: Reader, number: str) -> bytes:
    """Whether the certificate with this number (hexadecimal) is revoked, and why. One that was never issued is not."""
    with reader.store.reading() as store:
        row = store.get("revocations", number=number)
    known = {"time": row["revoked"], "reason": row["reason"]} if row else {"time": None, "reason": None}
    return _json({"number": number, "revoked": row is not None, **known})


def crl(reader: Reader) -> bytes:
    """The last list of all that is revoked, DER."""
    with reader.store.reading() as store:
        row = last_crl(store)
        if row is None:
            raise RefusedError("no list was signed yet", code=Code.UNKNOWN_UNIT, next_step="Sign one")
        return store.blob(row["crl"])


def accounts(reader: Reader) -> bytes:
    """Who may ask."""
    with reader.store.reading() as store:
        return _json({"accounts": [_pick(row, _ACCOUNT) for row in store.find("accounts")]})


def health(reader: Reader) -> bytes:
    """The ledger's size, committed and under a checkpoint: an answer says that the database can be read."""
    with reader.store.reading() as store:
        committed = store.size()
    head = reader.tree.head()
    return _json({"status": "ok", "committed": committed, "integrated": head.size if head else 0})


def _pick(row: Row, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
