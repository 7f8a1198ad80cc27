"""What the next party gets of a closed lot: identities, records and proofs of the shipped units, and the means to check
them without us. ``docs/formats/export.md`` describes the folder.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.transaction import Reading
from imprint.authority.issuance.crl import last_crl
from imprint.authority.ledger.edge import Edge
from imprint.authority.ledger.tree import CHECKPOINT, Tree
from imprint.authority.production.life_cycle import State
from imprint.errors import LedgerError, RefusedError
from imprint.formats.checkpoint import SignedCheckpoint
from imprint.formats.crl import encode_pem
from imprint.formats.mcuboot import parse
from imprint.formats.tlog_proof import TlogProof
from imprint.formats.x509 import certificate_pem
from imprint.keys.verify import encode_public_pem
from imprint.protocol.refusals import Code

CRL: Final = "crl.pem"

Files = Iterator[tuple[str, bytes]]


def closed_lot(store: Reading, lot: str) -> Row:
    """The lot's row. Raises :class:`RefusedError` when it is unknown or not closed."""
    row = store.get("lots", lot=lot)
    if row is None:
        raise RefusedError(f"there is no lot {lot}", code=Code.UNKNOWN_LOT, next_step="See 'imprint lot list'")
    if row["reconciliation"] is None:
        raise RefusedError(
            f"lot {lot} is not closed, so its sum is not signed yet",
            code=Code.WRONG_STATE,
            next_step=f"Run 'imprint lot close {lot}' first",
        )
    return row


def lot_files(store: Reading, tree: Tree, lot: Row, head: SignedCheckpoint) -> Files:
    """Reconciliation, list of devices, releases, the last revocation list if there is one, and a folder for each
    shipped unit, as (path, bytes)."""
    yield "reconciliation.json", store.blob(lot["reconciliation"])
    shipped = store.find("units", lot=lot["lot"], state=State.COMPLETE.value)
    yield "devices.csv", _devices(shipped, {row["number"]: row["revoked"] for row in store.find("revocations")})
    for role in ("firmware", "diagnostic"):
        if lot[role] is not None:
            image = store.blob(lot[role])
            name = "production" if role == "firmware" else role
            yield f"releases/{name}-{parse(image).version}.bin", image
    crl = last_crl(store)
    if crl is not None:
        yield CRL, encode_pem(store.blob(crl["crl"]))
    for unit in shipped:
        yield from _unit(store, tree, unit, head)


def _unit(store: Reading, tree: Tree, unit: Row, head: SignedCheckpoint) -> Files:
    folder = f"units/{unit['serial']}"
    yield f"{folder}/cert.pem", certificate_pem(store.blob(unit["certificate"]))
    yield f"{folder}/record.json", store.blob(unit["record"])
    yield f"{folder}/record.tlog-proof", prove(store, tree, store.index(unit["complete_leaf"]), head).encode()


def prove(store: Reading, tree: Tree, index: int, head: SignedCheckpoint) -> TlogProof:
    """The proof that entry ``index`` is under ``head``; the entry itself lies in ``extra``.

    Raises :class:`RefusedError` when the checkpoint does not cover it yet.
    """
    if index >= head.size:
        raise RefusedError(
            f"entry {index} is not under the checkpoint of size {head.size} yet",
            code=Code.NOT_COVERED,
            next_step="Run 'imprint ledger checkpoint'",
        )
    _, data, _ = next(iter(store.entries(index, index + 1)))
    hashes = tree.inclusion_proof(index, head.size)
    return TlogProof(index=index, hashes=hashes, checkpoint=head.note, extra=data)


def ledger_files(store: Reading, head: SignedCheckpoint, vkey: bytes) -> Files:
    """The ledger as a folder that can be served as it is: key, checkpoint, and the tiles and entry bundles under it,
    made anew from the entries. Raises :class:`LedgerError` when these do not add up to the checkpoint."""
    yield "ledger/vkey", vkey
    yield f"ledger/{CHECKPOINT}", head.note
    edge = Edge()
    for path, data in edge.grow(data for _, data, _ in store.entries(0, head.size)):
        yield f"ledger/{path}", data
    if edge.root() != head.root:
        raise LedgerError(
            "the entries do not add up to the checkpoint", subject="ledger", next_step="Run 'imprint ledger verify'"
        )


def trust_files(chain: Sequence[bytes], firmware_key: bytes, record_key: bytes) -> Files:
    """Certificates (device CA, root) and public keys, PEM. ``chain`` is DER, the keys are SPKI in DER."""
    ca, root = chain
    yield "ca.pem", certificate_pem(ca)
    yield "root.pem", certificate_pem(root)
    yield "firmware-key.pem", encode_public_pem(firmware_key)
    yield "record-key.pem", encode_public_pem(record_key)


def _devices(units: Sequence[Row], revoked: Mapping[str, str]) -> bytes:
    values = [json.loads(unit["unit_values"]) for unit in units]
    pools = sorted({name for one in values for name in one})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("serial", "hardware_id", "product", "lot", "certificate", "public_key", "contested")
    heads = tuple(f"{name}_sha256" if name in ("certificate", "public_key") else name for name in columns)
    writer.writerow((*heads, "revoked", *pools))
    for unit, given in zip(units, values, strict=True):
        fixed = (*(unit[name] for name in columns), revoked.get(unit["number"], ""))
        writer.writerow((*fixed, *(given.get(pool, "") for pool in pools)))
    return text.getvalue().encode()
