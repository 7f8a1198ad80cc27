"""What must always hold of an authority (the design's section 3), checked from outside: its database by plain SQL, its
entries by a fold of our own, and what stations were told. None of the code under test is used.

The fold knows each type of entry by name: an entry of a type that it does not know is reported, so that whoever adds
one says here what it may do.
"""

import base64
import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cbor2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

OWNER = "owner"
IN_WORK = ("claimed", "certified", "permitted")
LIVE = (*IN_WORK, "complete", "quarantined")
COUNTED = {**dict.fromkeys(IN_WORK, "in_work"), "complete": "shipped"}
COUNTED |= {"quarantined": "quarantined", "scrapped": "scrapped"}
GRADES = ("declared", "station-observed", "unit-signed", "attested")
# What a station may do to a unit that it holds, from which states. None: the state stays.
STEPS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "unit.certified": (("claimed",), "certified"),
    "unit.certificate-repeated": (("certified", "permitted"), None),
    "unit.permitted": (("claimed", "certified", "permitted"), None),  # fusing leaves the state as it is, locking not
    "unit.completed": (("certified", "permitted"), "complete"),
    "unit.released": (("claimed",), "released"),
    "unit.quarantined": (IN_WORK, "quarantined"),
}
NOT_OF_UNITS = ("product.added", "release.added", "lot.created", "lot.closed", "crl.signed", "ledger.reconciled")
_RECEIPT_CONTEXT = b"imprint/receipt/v1\x00"
_STATEMENT_CONTEXT = b"imprint/unit-statement/v1\x00"
_LEAF = b"\x00"  # RFC 6962 section 2.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What an authority was asked, and what it answered: exact bytes, or None when it answered nothing."""

    actor: str
    request: str
    body: bytes
    answer: bytes | None


@dataclass(slots=True, kw_only=True)
class Unit:
    """Where a unit is, as the entries tell it."""

    lot: str
    state: str
    holder: str
    run: str
    fence: int
    lease_until: str
    serial: str
    challenge: str
    contested: bool = False
    public_key: str | None = None
    certificate: str | None = None


@dataclass(slots=True)
class Story:
    """What the entries add up to, and what is wrong with them."""

    granted: dict[str, int]
    certificates: dict[str, bytes]  # DER, by their SHA-256
    bodies: dict[tuple[str, str], list[bytes]]  # by actor and request ID, in the order of their arrival
    units: dict[tuple[str, int], Unit] = field(default_factory=dict)
    requests: dict[tuple[str, str], str] = field(default_factory=dict)  # actor and ID -> SHA-256 of the body
    leaves: dict[str, dict[str, Any]] = field(default_factory=dict)
    certified: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def expect(self, holds: bool, what: str) -> None:
        """Note what is wrong unless it holds."""
        if not holds:
            self.wrong.append(what)

    def used(self, lot: str) -> int:
        """How many places of a lot are taken."""
        return sum(unit.lot == lot and unit.state in COUNTED for unit in self.units.values())


def broken_rules(workspace: Path, heard: Sequence[Heard]) -> list[str]:
    """Each rule that does not hold of the workspace's database, given all that was asked; nothing when all is well."""
    with closing(sqlite3.connect(f"file:{workspace}/imprint.db?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        story = _tell(database, heard)
        wrong = [*story.wrong, *_rows(database, story), *_identities(database), *_evidence(database, story)]
    key = load_pem_public_key((workspace / "keys" / "ledger.pub.pem").read_bytes())
    assert isinstance(key, Ed25519PublicKey)
    return [*wrong, *_answers(story, heard, key)]


# --- the entries ---


def _tell(database: sqlite3.Connection, heard: Iterable[Heard]) -> Story:
    granted = {row["lot"]: row["granted"] + row["refunded"] for row in database.execute("SELECT * FROM lots")}
    query = "SELECT sha256, data FROM certificates JOIN blobs ON certificate = sha256"
    story = Story(granted=granted, certificates=dict(map(tuple, database.execute(query))), bodies={})
    for one in heard:
        story.bodies.setdefault((one.actor, one.request), []).append(one.body)
    for row in database.execute("SELECT seq, leaf, data, opening FROM entries ORDER BY seq"):
        entry = {**json.loads(row["data"]), "private": json.loads(row["opening"])["private"], "seq": row["seq"]}
        story.expect(hashlib.sha256(_LEAF + row["data"]).hexdigest() == row["leaf"], f"entry {row['seq']}: its hash")
        story.expect(row["seq"] == len(story.leaves), f"entry {row['seq']}: where {len(story.leaves)} is expected")
        story.leaves[row["leaf"]] = entry
        _take(story, entry)
    return story


def _take(story: Story, entry: dict[str, Any]) -> None:
    kind, private = entry["type"], entry["private"]
    name = f"entry {entry['seq']}, {kind} of {entry['actor']}"
    if "request" in private:
        key = (entry["actor"], private["request"]["id"])
        story.expect(key not in story.requests, f"{name}: request {key[1]} was decided before")
        story.requests[key] = private["request"]["body"]
    if kind == "request.conflict":
        known = story.requests.get((entry["actor"], private["id"]))
        story.expect(known not in (None, private["body"]), f"{name}: there is no other body of {private['id']}")
    elif kind == "request.refused":
        _refused(story, entry, name)
    elif kind == "unit.challenged":
        _challenged(story, entry, name)
    elif kind in ("unit.claimed", "unit.reclaimed", "unit.taken-over"):
        _claimed(story, entry, name)
    elif kind in STEPS:
        _step(story, entry, name)
    elif kind in ("unit.expired", "unit.cleared", "unit.scrapped"):
        _moved(story, entry, name)
    elif kind == "unit.recovered":
        _recovered(story, entry, name)
    else:
        story.expect(kind in NOT_OF_UNITS, f"{name}: the check does not know entries of this type")
    for lot, most in story.granted.items():
        story.expect(story.used(lot) <= most, f"{name}: {story.used(lot)} places of {most} are taken")
        story.expect(story.certified[lot] <= most, f"{name}: {story.certified[lot]} certificates for {most} places")


def _refused(story: Story, entry: dict[str, Any], name: str) -> None:
    private = entry["private"]
    contested = private.get("contested")
    if contested:
        story.units[contested["hardware_id"], contested["epoch"]].contested = True
    if private["code"] == "grant-used-up":
        lot = json.loads(_body(story, entry))["lot"]
        over = [unit.serial for unit in story.units.values() if _lease_over(unit, entry) and unit.lot == lot]
        story.expect(story.used(lot) == story.granted[lot], f"{name}: there is a free place")
        story.expect(not over, f"{name}: the places of {over} should have come back")


def _challenged(story: Story, entry: dict[str, Any], name: str) -> None:
    """Only for a unit that has a key by which it can be known, and nothing happens to it."""
    private = entry["private"]
    unit = story.units[private["hardware_id"], private["epoch"]]
    provable = unit.state in ("certified", "permitted") and not unit.contested
    story.expect(provable, f"{name}: {unit.serial} is {unit.state}")
    ours = (unit.holder, unit.run) == (entry["actor"], private["run"])
    story.expect(not ours, f"{name}: {unit.serial} is held by this run")
    story.expect(private["challenge"] != unit.challenge, f"{name}: the challenge is that of the holder")


def _proven(story: Story, entry: dict[str, Any], name: str) -> None:
    """The unit itself answers the challenge that this station was given, with nothing in between."""
    private = entry["private"]
    unit, asked = story.units[private["hardware_id"], private["epoch"]], story.leaves[private["challenged_leaf"]]
    given = asked["private"]
    story.expect(asked["type"] == "unit.challenged", f"{name}: the challenge is from an entry {asked['type']}")
    whose = (asked["actor"], given["hardware_id"], given["epoch"], given["run"])
    mine = (entry["actor"], *(private[field] for field in ("hardware_id", "epoch", "run")))
    story.expect(whose == mine, f"{name}: the challenge was for {whose}")
    since = (given["fence"], given["unit_challenge"]) == (unit.fence, unit.challenge)
    story.expect(since, f"{name}: {unit.serial} has moved on since the challenge")
    try:
        signed = _STATEMENT_CONTEXT + bytes.fromhex(private["statement"])
        _verify(story.certificates[str(unit.certificate)], bytes.fromhex(private["signature"]), signed)
        said = cbor2.loads(bytes.fromhex(private["statement"]))
        answers = (said["hw"].hex(), said["nonce"].hex()) == (private["hardware_id"], given["challenge"])
    except InvalidSignature:
        answers = False
    story.expect(answers, f"{name}: {unit.serial} has not proven that it is there")


def _verify(certificate: bytes, signature: bytes, data: bytes) -> None:
    key = x509.load_der_x509_certificate(certificate).public_key()
    if isinstance(key, Ed25519PublicKey):
        key.verify(signature, data)
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, data, ec.ECDSA(hashes.SHA256()))


def _claimed(story: Story, entry: dict[str, Any], name: str) -> None:
    private, key = entry["private"], (entry["private"]["hardware_id"], entry["private"]["epoch"])
    unit = story.units.get(key)
    fence = unit.fence if unit else 0
    story.expect(private["fence"] == fence + 1, f"{name}: fence {private['fence']} after {fence}")
    if entry["type"] != "unit.claimed":
        assert unit is not None
        ours = unit.run == "" or (unit.holder, unit.run) == (entry["actor"], private["run"])
        if entry["type"] == "unit.taken-over":
            _proven(story, entry, name)
        else:
            story.expect(ours, f"{name}: {unit.serial} is held by {unit.holder} in {unit.run}")
        story.expect(unit.state in IN_WORK and not unit.contested, f"{name}: {unit.serial} is {unit.state}")
        unit.holder, unit.run, unit.fence = entry["actor"], private["run"], private["fence"]
        unit.lease_until, unit.challenge = private["lease_until"], private["challenge"]
        return
    before = None if unit is None else unit.state
    story.expect(before == private["before"] and before in (None, "released"), f"{name}: the unit is {before}")
    story.expect(unit is None or not unit.contested, f"{name}: the unit is contested")
    twins = [other for at, other in story.units.items() if at[0] == key[0] and other.state in LIVE]
    story.expect(not twins, f"{name}: the hardware ID lives in {twins}")
    owners = {at[0] for at, other in story.units.items() if other.serial == private["serial"]}
    story.expect(owners <= {key[0]}, f"{name}: serial {private['serial']} belongs to {owners}")
    fields = {name: private[name] for name in ("lot", "run", "fence", "lease_until", "serial", "challenge")}
    story.units[key] = Unit(state="claimed", holder=entry["actor"], **fields)


def _step(story: Story, entry: dict[str, Any], name: str) -> None:
    private = entry["private"]
    unit = story.units[private["hardware_id"], private["epoch"]]
    states, after = STEPS[entry["type"]]
    asked = json.loads(_body(story, entry))
    story.expect(unit.state in states, f"{name}: {unit.serial} is {unit.state}")
    story.expect(unit.holder == entry["actor"], f"{name}: {unit.serial} is held by {unit.holder}")
    story.expect(asked["fence"] == unit.fence, f"{name}: asked with fence {asked['fence']}, and it is {unit.fence}")
    may = not unit.contested or entry["type"] in ("unit.released", "unit.quarantined")
    story.expect(may, f"{name}: {unit.serial} is contested")
    if entry["type"] == "unit.permitted" and asked["action"] == "lock-debug":
        story.expect(unit.state != "claimed", f"{name}: a lock before there is a certificate")
        after = "permitted"
    if entry["type"] == "unit.certified":
        taken = [other.serial for other in story.units.values() if other.public_key == private["public_key"]]
        story.expect(not taken, f"{name}: the key belongs to {taken}")
        story.expect(unit.certificate is None, f"{name}: {unit.serial} has a certificate")
        unit.public_key, unit.certificate = private["public_key"], private["certificate"]
        story.certified[unit.lot] += 1
    unit.state = after or unit.state
    unit.challenge = private.get("challenge", unit.challenge)


def _moved(story: Story, entry: dict[str, Any], name: str) -> None:
    """What happens to a unit without its station."""
    private = entry["private"]
    unit = story.units[private["hardware_id"], private["epoch"]]
    if entry["type"] == "unit.expired":
        story.expect(_lease_over(unit, entry), f"{name}: {unit.serial} is {unit.state} until {unit.lease_until}")
        unit.state = "released"
        return
    story.expect(entry["actor"] == OWNER, f"{name}: only an owner may do this")
    if entry["type"] == "unit.scrapped":
        story.expect(unit.state in LIVE and unit.state != "claimed", f"{name}: {unit.serial} is {unit.state}")
        unit.state = "scrapped"
        return
    gives_back = private["after"] == "released"
    story.expect(not gives_back or unit.certificate is None, f"{name}: {unit.serial} keeps its certificate")
    story.expect(private["fence"] == unit.fence + 1, f"{name}: fence {private['fence']} after {unit.fence}")
    unit.state, unit.fence, unit.contested = private["after"], private["fence"], False
    unit.holder = unit.run = ""


def _recovered(story: Story, entry: dict[str, Any], name: str) -> None:
    """What was decided in a lost time: only an owner says so, once in each generation of the ledger, and whatever it is
    it counts as any other unit."""
    private, columns = entry["private"], entry["private"]["unit"]
    key = (private["hardware_id"], private["epoch"])
    known = story.units.get(key)
    declared = [leaf["seq"] for leaf in story.leaves.values() if leaf["type"] == "ledger.reconciled"]
    story.expect(entry["actor"] == OWNER and bool(declared), f"{name}: nobody has declared a loss")
    story.expect((known is None) == (private["before"] is None), f"{name}: the unit is {known}")
    names = {"holder": "station", "certificate": "certificate", "public_key": "public_key"}
    names |= {one: one for one in ("lot", "state", "run", "fence", "lease_until", "serial", "challenge")}
    changed = {field: columns[column] for field, column in names.items() if column in columns}
    unit = story.units[key] = Unit(**changed) if known is None else replace(known, **changed)
    unit.contested = bool(columns.get("contested", unit.contested))
    story.expect(known is None or unit.fence >= known.fence, f"{name}: fence {unit.fence} is lower than before")
    owners = {at[0] for at, other in story.units.items() if other.serial == unit.serial and other.state in LIVE}
    story.expect(len(owners) <= 1, f"{name}: serial {unit.serial} belongs to {owners}")
    if private["certificate"] is not None and unit.state != "superseded":
        story.certified[unit.lot] += 1
    ended = known is not None and unit.state == "superseded" and known.certificate is not None
    story.certified[unit.lot] -= int(ended)  # revoked; the next epoch has its place


def _lease_over(unit: Unit, entry: dict[str, Any]) -> bool:
    return unit.state == "claimed" and unit.lease_until < str(entry["time"])


def _body(story: Story, entry: dict[str, Any]) -> bytes:
    """The request that an entry decides, which must be one that its actor has sent."""
    request = entry["private"]["request"]
    for body in story.bodies.get((entry["actor"], request["id"]), []):
        if hashlib.sha256(body).hexdigest() == request["body"]:
            return body
    raise AssertionError(f"entry {entry['seq']}: {entry['actor']} never sent {request['id']} with this body")


# --- the rows ---


def _rows(database: sqlite3.Connection, story: Story) -> Iterator[str]:
    """Units, lots, requests and certificates are those of the entries."""
    found = {(row["hardware_id"], row["epoch"]): row for row in database.execute("SELECT * FROM units")}
    if found.keys() != story.units.keys():
        yield f"units {sorted(found)} where the entries tell of {sorted(story.units)}"
    for key, unit in story.units.items():
        row = found.get(key)
        if row is None:
            continue
        names = ("state", "station", "run", "fence", "serial", "certificate", "challenge")
        have = (bool(row["contested"]), *(row[name] for name in names))
        held = (unit.holder, unit.run, unit.fence)
        told = (unit.contested, unit.state, *held, unit.serial, unit.certificate, unit.challenge)
        if have != told or row["live"] != (unit.state in LIVE):
            yield f"unit {unit.serial} is {have} (live {row['live']}) where the entries say {told}"
    for row in database.execute("SELECT * FROM lots"):
        counts = Counter(COUNTED.get(unit.state) for unit in story.units.values() if unit.lot == row["lot"])
        for column in ("in_work", "shipped", "scrapped", "quarantined"):
            if row[column] != counts[column]:
                yield f"lot {row['lot']} counts {row[column]} {column}, and {counts[column]} units are"
        if row["state"] == "closed" and counts["in_work"]:
            yield f"lot {row['lot']} is closed with {counts['in_work']} units in work"
    kept = {(row["actor"], row["request_id"]): row["body"] for row in database.execute("SELECT * FROM requests")}
    if kept != story.requests:
        yield f"requests {sorted(kept.items() ^ story.requests.items())} are in the table or in the entries alone"


def _identities(database: sqlite3.Connection) -> Iterator[str]:
    for column in ("hardware_id", "serial", "public_key"):
        query = f"SELECT {column}, count(*) FROM units WHERE live = 1 AND {column} IS NOT NULL GROUP BY 1"
        for value, number in database.execute(f"{query} HAVING count(*) > 1"):
            yield f"{column} {value} lives in {number} units"
    for column in ("hardware_id, epoch", "number", "certificate"):
        for row in database.execute(f"SELECT {column}, count(*) FROM certificates GROUP BY {column}"):
            if row[-1] > 1:
                yield f"{column} {row[0]} has {row[-1]} certificates"
    query = "SELECT serial FROM units WHERE certificate IS NOT NULL AND certificate NOT IN "
    for row in database.execute(f"{query} (SELECT certificate FROM certificates)"):
        yield f"the certificate of {row[0]} is not in its table"


def _evidence(database: sqlite3.Connection, story: Story) -> Iterator[str]:
    """A record says whose word each claim is: the unit's own under its key, or the name of the station that made it."""
    query = "SELECT serial, station, complete_leaf, data, definition FROM units JOIN blobs ON record = blobs.sha256 "
    for row in database.execute(f"{query} JOIN products USING (product)"):
        record = json.loads(base64.b64decode(json.loads(row["data"])["payload"]))["predicate"]
        completed = story.leaves[row["complete_leaf"]]
        recovered = completed["type"] == "unit.recovered"  # by the owner; the record was the station's work
        station = row["station"] if recovered else completed["actor"]
        best: dict[str, int] = {}
        for one in record["evidence"]:
            most = {"unit": "unit-signed", station: "station-observed"}.get(one["source"], "")
            grade = GRADES.index(one["grade"])
            if not most or grade > GRADES.index(most):
                yield f"record of {row['serial']}: {one['claim']} is {one['grade']} on the word of {one['source']}"
            best[one["claim"]] = max(best.get(one["claim"], -1), grade)
        (definition,) = database.execute("SELECT data FROM blobs WHERE sha256 = ?", (row["definition"],)).fetchone()
        for claim, least in json.loads(definition)["evidence"].items():
            if least != "none" and best.get(claim, -1) < GRADES.index(least):
                yield f"record of {row['serial']}: {claim} is weaker than {least}"


# --- what was answered ---


def _answers(story: Story, heard: Iterable[Heard], key: Ed25519PublicKey) -> Iterator[str]:
    """Each answer is that of an entry of its asker, for this very request; the same request has the same bytes."""
    given: dict[tuple[str, str, bytes], bytes] = {}
    for one in heard:
        if one.answer is None:
            continue
        name = f"{one.actor} asked {one.request}"
        answer = json.loads(one.answer)
        receipt, result = answer["receipt"], answer["result"]
        entry = story.leaves.get(receipt["leaf"])
        if entry is None:
            yield f"{name}: answered {result['kind']} with a receipt, and it is not in the ledger"
            continue
        try:
            key.verify(_from_base64(receipt["signature"]), _signed(receipt))
        except InvalidSignature:
            yield f"{name}: the receipt's signature does not verify"
        if (entry["actor"], entry["time"]) != (one.actor, receipt["time"]):
            yield f"{name}: answered with the entry of {entry['actor']} at {entry['time']}"
        conflict = result.get("code") == "request-conflict"
        yield from _of_this_request(entry, one, name, conflict=conflict)
        if not conflict and given.setdefault((one.actor, one.request, one.body), one.answer) != one.answer:
            yield f"{name}: the same request has two answers"


def _of_this_request(entry: dict[str, Any], one: Heard, name: str, *, conflict: bool) -> Iterator[str]:
    private, body = entry["private"], hashlib.sha256(one.body).hexdigest()
    if conflict:
        asked = {"id": private.get("id"), "body": private.get("body")}
    else:
        asked = {key: private.get("request", {}).get(key) for key in ("id", "body")}
    if asked != {"id": one.request, "body": body}:
        yield f"{name}: answered with an entry about request {asked['id']}, or another body"


def _signed(receipt: dict[str, str]) -> bytes:
    return _RECEIPT_CONTEXT + bytes.fromhex(receipt["leaf"]) + receipt["time"].encode()


def _from_base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
