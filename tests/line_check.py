"""What must be true of a line after any fault, checked from outside: plain SQL, the journals' lines, and what the units
hold in their own files. Of the project's code only ``ledger verify`` is used.
"""

import base64
import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_public_key,
)
from cryptography.x509 import load_der_x509_certificate

from imprint.errors import ImprintError
from imprint.reader import open_reader
from imprint.verify_ledger import verify_ledger
from production_line import LOT, Line

_RECEIPT_CONTEXT = b"imprint/receipt/v1\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A question in a journal with its answer."""

    station: str
    request: str
    body: bytes
    result: dict[str, Any]
    receipt: dict[str, Any]

    @property
    def hardware_id(self) -> str:
        """The unit that was asked about."""
        found: str = json.loads(self.body)["hardware_id"]
        return found


def disagreements(line: Line, *, finished: bool) -> list[str]:
    """All that does not add up between ledger, database, journals and units; nothing when all is well. ``finished``: no
    unit may be in work any more."""
    database = sqlite3.connect(f"file:{line.workspace}/imprint.db?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    try:
        return [
            *_ledger(line.workspace),
            *_counts(database, finished=finished),
            *_identities(database),
            *_journals(line, database),
            *_units(line, database),
        ]
    finally:
        database.close()


def answered(line: Line) -> list[Answered]:
    """All answers in all journals."""
    found = []
    for path in sorted(line.folder.glob("*/station/*.journal")):
        asked: dict[str, bytes] = {}
        for text in path.read_bytes().splitlines(keepends=True):
            if not text.endswith(b"\n"):
                break  # cut off by a crash, so never acted on
            entry = json.loads(text)
            if entry["entry"] == "asked":
                asked[entry["request"]] = entry["body"].encode()
            elif entry["entry"] == "answered":
                request = entry["request"]
                found.append(
                    Answered(station=path.stem, request=request, body=asked[request], **json.loads(entry["answer"]))
                )
    return found


def _ledger(workspace: Path) -> Iterator[str]:
    try:
        verify_ledger(open_reader(workspace))
    except ImprintError as problem:
        yield f"ledger verify: {problem}"


def _counts(database: sqlite3.Connection, *, finished: bool) -> Iterator[str]:
    (lot,) = database.execute("SELECT * FROM lots WHERE lot = ?", (LOT,)).fetchall()
    states = Counter(row["state"] for row in database.execute("SELECT state FROM units WHERE lot = ?", (LOT,)))
    in_work = states["claimed"] + states["certified"] + states["permitted"]
    seen = {
        "in_work": in_work,
        "shipped": states["complete"],
        "scrapped": states["scrapped"],
        "quarantined": states["quarantined"],
    }
    for name, number in seen.items():
        if lot[name] != number:
            yield f"the lot counts {lot[name]} {name}, and {number} units are"
    if sum(seen.values()) > lot["granted"] + lot["refunded"]:
        yield f"more than the grant: {seen}"
    if finished and in_work:
        yield f"{in_work} units are still in work"


def _identities(database: sqlite3.Connection) -> Iterator[str]:
    for column in ("hardware_id", "certificate"):
        for row in database.execute(f"SELECT {column}, count(*) AS n FROM certificates GROUP BY 1 HAVING n > 1"):
            yield f"{column} {row[0]} has {row['n']} certificates"
    for column in ("serial", "unit_values", "public_key", "hardware_id"):
        query = f"SELECT {column}, count(*) AS n FROM units WHERE {column} IS NOT NULL GROUP BY 1 HAVING n > 1"
        for row in database.execute(query):
            yield f"{column} {row[0]} belongs to {row['n']} units"


def _journals(line: Line, database: sqlite3.Connection) -> Iterator[str]:
    key = load_pem_public_key((line.workspace / "keys" / "ledger.pub.pem").read_bytes())
    assert isinstance(key, Ed25519PublicKey)
    for one in answered(line):
        leaf = one.receipt["leaf"]
        signed = _RECEIPT_CONTEXT + bytes.fromhex(leaf) + one.receipt["time"].encode()
        try:
            key.verify(_from_base64(one.receipt["signature"]), signed)
        except InvalidSignature:
            yield f"{one.request}: the receipt's signature does not verify"
        if not database.execute("SELECT 1 FROM entries WHERE leaf = ?", (leaf,)).fetchone():
            yield f"{one.request}: acknowledged with a receipt, and not in the ledger"
        body = hashlib.sha256(one.body).hexdigest()
        kept = "SELECT 1 FROM requests WHERE actor = ? AND request_id = ? AND body = ? AND leaf = ?"
        if not database.execute(kept, (one.station, one.request, body, leaf)).fetchone():
            yield f"{one.request}: answered, and the authority knows no such request"
        if one.result["kind"] == "certified":
            yield from _same_certificate(database, one.hardware_id, _from_base64(one.result["certificate"]), "journal")
        elif one.result["kind"] == "claimed":
            query = "SELECT 1 FROM units WHERE hardware_id = ? AND serial = ?"
            if not database.execute(query, (one.hardware_id, one.result["serial"])).fetchone():
                yield f"{one.request}: claimed as {one.result['serial']}, and the authority knows no such unit"


def _units(line: Line, database: sqlite3.Connection) -> Iterator[str]:
    complete = {
        row["hardware_id"] for row in database.execute("SELECT hardware_id FROM units WHERE state = 'complete'")
    }
    for folder in sorted(line.bench.glob("units/*")):
        hardware_id = (folder / "hardware-id").read_bytes().hex()
        stored = folder / "certificate.der"
        if not stored.exists():
            if hardware_id in complete:
                yield f"unit {folder.name} is complete, and holds no certificate"
            continue
        yield from _same_certificate(database, hardware_id, stored.read_bytes(), f"unit {folder.name}")
        own = load_der_private_key((folder / "identity.key").read_bytes(), None).public_key()
        if load_der_x509_certificate(stored.read_bytes()).public_key() != own:
            yield f"unit {folder.name} holds a certificate for another key"
        yield from _same_serial(database, hardware_id, folder)


def _same_certificate(database: sqlite3.Connection, hardware_id: str, found: bytes, where: str) -> Iterator[str]:
    query = "SELECT data FROM certificates JOIN blobs ON certificate = sha256 WHERE hardware_id = ?"
    if [bytes(row["data"]) for row in database.execute(query, (hardware_id,))] != [found]:
        yield f"{where}: its certificate is not the one and only of {hardware_id} in the database"
    spki = load_der_x509_certificate(found).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    query = "SELECT hardware_id FROM public_keys WHERE public_key = ?"
    if [row[0] for row in database.execute(query, (hashlib.sha256(spki).hexdigest(),))] != [hardware_id]:
        yield f"{where}: its key is not that of {hardware_id} in the database"


def _same_serial(database: sqlite3.Connection, hardware_id: str, folder: Path) -> Iterator[str]:
    stored = folder / "settings.cbor"
    if not stored.exists():
        return
    serial = cbor2.loads(stored.read_bytes()).get("imprint/serial", b"").decode()
    known = [row[0] for row in database.execute("SELECT serial FROM units WHERE hardware_id = ?", (hardware_id,))]
    if known != [serial]:
        yield f"unit {folder.name} holds serial {serial}, the database has {known}"


def _from_base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
