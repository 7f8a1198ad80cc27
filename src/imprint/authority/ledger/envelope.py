"""One ledger entry: what the public may see, and the opening that says the rest.

An entry is canonical JSON with ``v``, ``type``, ``time``, ``actor``, ``body`` and ``commitment``. The commitment is
``SHA-256(CONTEXT || opening)``; the opening is canonical JSON with a random salt and the private fields. Outsiders
read entries; auditors get openings. The ledger knows only this envelope: what a type means is its room's business.
"""

from dataclasses import dataclass
from typing import Any, Final

from imprint.encoding import canonical, parse_json_object, sha256_hex
from imprint.errors import FormatError
from imprint.formats.merkle import leaf_hash

VERSION: Final = 1
SALT_SIZE: Final = 16
CONTEXT: Final = b"imprint/opening/v1\x00"

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedEntry:
    """Bytes of an entry and of its opening, and the RFC 6962 leaf hash of the entry."""

    data: bytes
    opening: bytes
    leaf: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedEntry:
    """An entry whose opening has been checked against its commitment."""

    type: str
    time: str
    actor: str
    public: Fields
    private: Fields
    leaf: str


def seal(*, type_: str, time: str, actor: str, public: Fields, private: Fields, salt: bytes) -> SealedEntry:
    """Canonical entry and opening. ``salt`` is ``SALT_SIZE`` fresh random bytes."""
    opening = canonical({"private": private, "salt": salt.hex()})
    data = canonical(
        {
            "v": VERSION,
            "type": type_,
            "time": time,
            "actor": actor,
            "body": public,
            "commitment": sha256_hex(CONTEXT + opening),
        }
    )
    return SealedEntry(data=data, opening=opening, leaf=leaf_hash(data))


def open_entry(data: bytes, opening: bytes, *, subject: str) -> OpenedEntry:
    """The entry with its private fields. :class:`FormatError` when they do not belong together."""
    entry = parse_json_object(data, subject=subject)
    if entry.keys() != {"v", "type", "time", "actor", "body", "commitment"} or entry["v"] != VERSION:
        raise FormatError("not a ledger entry of a known version", subject=subject)
    if entry["commitment"] != sha256_hex(CONTEXT + opening):
        raise FormatError("the opening does not belong to this entry", subject=subject)
    private = parse_json_object(opening, subject=f"opening of {subject}").get("private")
    if not isinstance(private, dict) or not isinstance(entry["body"], dict):
        raise FormatError("the entry's body is not an object", subject=subject)
    return OpenedEntry(
        type=str(entry["type"]),
        time=str(entry["time"]),
        actor=str(entry["actor"]),
        public=entry["body"],
        private=private,
        leaf=leaf_hash(data).hex(),
    )
