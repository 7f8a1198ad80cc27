"""Signed notes (c2sp.org/signed-note): a text and the signatures of named keys.

Ed25519 keys (type 01) sign and verify. Keys and signatures of any other type, such as the witness cosignatures of
types 04 (Ed25519) and 06 (ML-DSA-44), are read and kept, and count for nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from imprint.encoding import b64, from_b64, from_hex, sha256
from imprint.errors import FormatError, LedgerError

ED25519: Final = 1
MAX_NOTE_SIZE: Final = 1_000_000  # bytes
MAX_SIGNATURES: Final = 100  # the specification asks for at least 16

_KEY_ID_SIZE: Final = 4
_ED25519_KEY_SIZE: Final = 32
_ED25519_SIGNATURE_SIZE: Final = 64
_PREFIX: Final = "\N{EM DASH} "

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A named public key. ``type`` is the signature type byte; only ``ED25519`` keys verify."""

    name: str
    id: bytes
    type: int
    public: bytes

    def encode(self) -> str:
        """The text form, a *vkey*: ``name+hex(id)+base64(type || public)``."""
        return f"{self.name}+{self.id.hex()}+{b64(bytes([self.type]) + self.public)}"

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether this is the key's Ed25519 signature of the message. Never, for a key of another type."""
        if self.type != ED25519 or len(signature) != _ED25519_SIGNATURE_SIZE:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature line: who says to have signed, and the bytes after the key ID."""

    name: str
    key_id: bytes
    value: bytes

    def encode(self) -> str:
        """The line, with its newline."""
        return f"{_PREFIX}{self.name} {b64(self.key_id + self.value)}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note whose signatures have not been checked; see :func:`open_note`."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The note's bytes."""
        return "".join([self.text, "\n", *(signature.encode() for signature in self.signatures)]).encode()


def ed25519_key(name: str, public: bytes) -> VerifierKey:
    """The verifier key of a raw Ed25519 public key (32 bytes). Raises :class:`FormatError` for a name with a space,
    a plus or a control character."""
    _check_name(name, subject="key name")
    if len(public) != _ED25519_KEY_SIZE:
        raise FormatError(f"an Ed25519 public key has {_ED25519_KEY_SIZE} bytes", subject=name)
    return VerifierKey(name=name, id=_key_id(name, public), type=ED25519, public=public)


def parse_vkey(text: str) -> VerifierKey:
    """A verifier key from its text form, or :class:`FormatError`. The ID of an Ed25519 key is recomputed; that of
    another type is taken as it stands, since each type derives its own."""
    parts = text.split("+", 2)  # base64 may hold a plus, a name may not
    if len(parts) != 3:
        raise FormatError("not a verifier key", subject="vkey", next_step="Write it as name+hexadecimal+base64")
    name, key_id, data = parts[0], from_hex(parts[1], subject="vkey"), from_b64(parts[2], subject="vkey")
    _check_name(name, subject="vkey")
    if len(key_id) != _KEY_ID_SIZE or len(data) < 2:
        raise FormatError("the key or its ID has a wrong length", subject="vkey")
    if data[0] != ED25519:
        return VerifierKey(name=name, id=key_id, type=data[0], public=data[1:])
    key = ed25519_key(name, data[1:])
    if key.id != key_id:
        raise FormatError("the key ID is not that of the key", subject="vkey", next_step="Copy the whole line again")
    return key


def sign_note(text: str, key: VerifierKey, sign: Sign) -> bytes:
    """The text signed by ``key``, whose private half is behind ``sign``.

    Raises :class:`FormatError` for a text that no note can hold, and :class:`LedgerError` when what ``sign`` gave does
    not verify under ``key``: a note that nobody can open must not get out.
    """
    _check_text(text)
    value = sign(text.encode())
    if not key.verifies(text.encode(), value):
        raise LedgerError(
            "the signature does not verify under the key's public half",
            subject=key.name,
            next_step="Check that the signer and the vkey belong together",
        )
    return Note(text=text, signatures=(Signature(name=key.name, key_id=key.id, value=value),)).encode()


def parse_note(data: bytes) -> Note:
    """The note's parts, unchecked, or :class:`FormatError`."""
    if len(data) > MAX_NOTE_SIZE:
        raise FormatError(f"longer than {MAX_NOTE_SIZE} bytes", subject="note")
    try:
        whole = data.decode()
    except UnicodeDecodeError as problem:
        raise FormatError("not UTF-8", subject="note") from problem
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise FormatError("no signatures after a blank line", subject="note", next_step="Check that the file is whole")
    _check_text(text + "\n")
    rows = lines[:-1].split("\n")
    if len(rows) > MAX_SIGNATURES:
        raise FormatError(f"more than {MAX_SIGNATURES} signatures", subject="note")
    return Note(text=text + "\n", signatures=tuple(_parse_signature(row) for row in rows))


def open_note(data: bytes, keys: Iterable[VerifierKey]) -> str:
    """The note's text, signed by at least one of ``keys``. Signatures of other keys are ignored.

    Raises :class:`FormatError` for bytes that are not a note, and :class:`LedgerError` when none of the keys signed it
    or the signature of one of them is false.
    """
    note = parse_note(data)
    known = {(key.name, key.id): key for key in keys if key.type == ED25519}
    signed = False
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if not key.verifies(note.text.encode(), signature.value):
            raise LedgerError(
                "the signature is false", subject=signature.name, next_step="Do not trust this copy; fetch it again"
            )
        signed = True
    if not signed:
        raise LedgerError(
            "no signature by a known key", subject="note", next_step="Check that the vkey is that of this ledger"
        )
    return note.text


def _parse_signature(row: str) -> Signature:
    name, space, encoded = row.removeprefix(_PREFIX).partition(" ")
    if not row.startswith(_PREFIX) or not space:
        raise FormatError("not a signature line", subject="note")
    _check_name(name, subject="note")
    data = from_b64(encoded, subject="note")
    if len(data) <= _KEY_ID_SIZE:
        raise FormatError("a signature is too short", subject="note")
    return Signature(name=name, key_id=data[:_KEY_ID_SIZE], value=data[_KEY_ID_SIZE:])


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + bytes([ED25519]) + public)[:_KEY_ID_SIZE]


def _check_name(name: str, *, subject: str) -> None:
    if not name or "+" in name or not _encodes(name) or any(char < " " or char.isspace() for char in name):
        raise FormatError("a key name must be without spaces, plus signs and control characters", subject=subject)


def _check_text(text: str) -> None:
    if not text.endswith("\n") or not _encodes(text) or any(char < " " for char in text.replace("\n", "")):
        raise FormatError("the text must end in a newline and hold no other control character", subject="note")


def _encodes(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)
