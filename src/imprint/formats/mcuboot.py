"""Images in MCUboot's format: build one, take one apart, decide whether a boot loader would start it.

An image is a header (``struct image_header``), the payload, a block of *protected* TLVs that the hash and the signature
cover, and a block of unprotected TLVs that holds the hash, the key's hash and the signature. All integers are
little-endian. Sources: MCUboot's ``docs/design.md`` ("Image format", "Integrity check") and ``bootutil``'s
``image_validate.c`` and ``tlv.c``, whose rules :func:`verify` follows:

* every hash TLV must match, and there must be one;
* a key hash selects the key of the *next* signature; a signature without one, or of another key, is skipped, and the
  last signature by our key decides;
* the security counter counts only in the protected block, must be there and be at least the stored one;
* the unprotected block holds nothing but hash, key hash and signature (``MCUBOOT_USE_TLV_ALLOW_LIST``);
* what follows the TLVs is ignored: in a slot it is erased flash or the trailer.

:func:`parse` is stricter in two places where ``bootutil`` would read on: a TLV that runs over the end of its block, and
a second security counter, are format errors.
"""

import hmac
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag, unique
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from imprint.encoding import sha256
from imprint.errors import FormatError, InputError

MAGIC: Final = 0x96F3B83D
HEADER_SIZE: Final = 0x200  # keeps a Cortex-M vector table aligned
LEAST_HEADER_SIZE: Final = 32

_HEADER: Final = struct.Struct("<IIHHIIBBHII")
_TLV: Final = struct.Struct("<HH")
_COUNTER: Final = struct.Struct("<I")
_UNPROTECTED_MAGIC: Final = 0x6907
_PROTECTED_MAGIC: Final = 0x6908
_SUBJECT: Final = "image"
_VERSION: Final = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,5})(?:\+(\d{1,10}))?", re.ASCII)


@unique
class TlvType(IntEnum):
    """The TLVs that we write and read; others are kept by number."""

    KEYHASH = 0x01
    SHA256 = 0x10
    ECDSA = 0x22
    SECURITY_COUNTER = 0x50


class Flag(IntFlag):
    """Header flags with which this boot loader does not start an image."""

    ENCRYPTED_AES128 = 0x04
    ENCRYPTED_AES256 = 0x08
    NON_BOOTABLE = 0x10
    COMPRESSED_LZMA1 = 0x200
    COMPRESSED_LZMA2 = 0x400
    COMPRESSED_ARM_THUMB = 0x800


_NOT_STARTED: Final = int(
    Flag.ENCRYPTED_AES128
    | Flag.ENCRYPTED_AES256
    | Flag.NON_BOOTABLE
    | Flag.COMPRESSED_LZMA1
    | Flag.COMPRESSED_LZMA2
    | Flag.COMPRESSED_ARM_THUMB
)
_ALLOWED_UNPROTECTED: Final = frozenset({TlvType.KEYHASH, TlvType.SHA256, TlvType.ECDSA})


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Version:
    """An image's version; ``str`` gives ``major.minor.revision+build``."""

    major: int
    minor: int
    revision: int
    build: int = 0

    def __post_init__(self) -> None:
        limits = (0xFF, 0xFF, 0xFFFF, 0xFFFFFFFF)
        for value, limit in zip((self.major, self.minor, self.revision, self.build), limits, strict=True):
            if not 0 <= value <= limit:
                raise FormatError(f"{value} is not in 0..{limit}", subject="image version")

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.revision}+{self.build}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tlv:
    """One entry of a TLV block."""

    type: int
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image taken apart. Nothing in it is trusted until :func:`verify` has returned it.

    ``signed`` is what the hash and the signature cover: header, payload and protected TLVs. ``size`` is the image's
    length in bytes, without what followed it. ``security_counter`` is None when the protected TLVs hold none.
    """

    header_size: int
    load_address: int
    flags: int
    version: Version
    payload_size: int
    protected: tuple[Tlv, ...]
    unprotected: tuple[Tlv, ...]
    security_counter: int | None
    image_hash: bytes
    signed: bytes = field(repr=False)
    size: int

    @property
    def payload(self) -> bytes:
        """The bytes between header and TLVs."""
        return self.signed[self.header_size : self.header_size + self.payload_size]


def parse_version(text: str) -> Version:
    """``major.minor.revision`` with an optional ``+build``, or :class:`FormatError`."""
    found = _VERSION.fullmatch(text)
    if found is None:
        raise FormatError(
            f"{text!r} is not a version", subject="image version", next_step="Write it like 1.2.3 or 1.2.3+4"
        )
    major, minor, revision, build = (int(part or 0) for part in found.groups())
    return Version(major=major, minor=minor, revision=revision, build=build)


def build(
    payload: bytes,
    *,
    version: Version,
    security_counter: int,
    key_spki: bytes,
    sign: Callable[[bytes], bytes],
    header_size: int = HEADER_SIZE,
) -> bytes:
    """A signed image around ``payload``.

    ``key_spki`` is the P-256 public key (SubjectPublicKeyInfo, DER). ``sign`` is given header, payload and protected
    TLVs, and returns the DER signature of ECDSA with SHA-256 over them. Raises :class:`FormatError` for values that the
    format cannot hold, :class:`InputError` when the signature is not of this key.
    """
    if not payload:
        raise FormatError("the payload is empty", subject=_SUBJECT, next_step="Check the firmware file")
    if not 0 <= security_counter <= 0xFFFFFFFF:
        raise FormatError(f"security counter {security_counter} is not in 0..2**32-1", subject=_SUBJECT)
    if not LEAST_HEADER_SIZE <= header_size <= 0xFFFF or len(payload) > 0xFFFFFFFF - header_size:
        raise FormatError(f"a header of {header_size} bytes does not fit", subject=_SUBJECT)
    protected = _block(_PROTECTED_MAGIC, [(TlvType.SECURITY_COUNTER, _COUNTER.pack(security_counter))])
    number = (version.major, version.minor, version.revision, version.build)
    header = _HEADER.pack(MAGIC, 0, header_size, len(protected), len(payload), 0, *number, 0)
    signed = header.ljust(header_size, b"\0") + payload + protected
    entries = [(TlvType.SHA256, sha256(signed)), (TlvType.KEYHASH, sha256(key_spki)), (TlvType.ECDSA, sign(signed))]
    image = signed + _block(_UNPROTECTED_MAGIC, entries)
    verify(image, key_spki, least_security_counter=security_counter)
    return image


def _block(magic: int, entries: list[tuple[TlvType, bytes]]) -> bytes:
    body = b"".join(_TLV.pack(kind, len(value)) + value for kind, value in entries)
    return _TLV.pack(magic, _TLV.size + len(body)) + body


def parse(data: bytes) -> Image:
    """The image at the start of ``data``, or :class:`FormatError`. Nothing is verified; what follows is ignored."""
    if len(data) < _HEADER.size:
        raise FormatError(f"{len(data)} bytes are too few for a header", subject=_SUBJECT)
    magic, load_address, header_size, protected_size, payload_size, flags, *version, _pad = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise FormatError(f"the magic is {magic:08x}, not {MAGIC:08x}", subject=_SUBJECT)
    if header_size < LEAST_HEADER_SIZE:
        raise FormatError(f"a header of {header_size} bytes is too short", subject=_SUBJECT)
    body_end = header_size + payload_size
    protected: tuple[Tlv, ...] = ()
    if protected_size:
        protected, protected_end = _read_block(data, body_end, _PROTECTED_MAGIC)
        if protected_end - body_end != protected_size:
            raise FormatError("header and protected TLVs disagree on their length", subject=_SUBJECT)
    signed_end = body_end + protected_size
    unprotected, end = _read_block(data, signed_end, _UNPROTECTED_MAGIC)
    return Image(
        header_size=header_size,
        load_address=load_address,
        flags=flags,
        version=Version(major=version[0], minor=version[1], revision=version[2], build=version[3]),
        payload_size=payload_size,
        protected=protected,
        unprotected=unprotected,
        security_counter=_security_counter(protected),
        image_hash=_image_hash((*protected, *unprotected)),
        signed=bytes(data[:signed_end]),
        size=end,
    )


def _read_block(data: bytes, start: int, magic: int) -> tuple[tuple[Tlv, ...], int]:
    if start + _TLV.size > len(data):
        raise FormatError(f"{len(data)} bytes end before the TLVs at {start:#x}", subject=_SUBJECT)
    found, total = _TLV.unpack_from(data, start)
    end = start + total
    if found != magic:
        raise FormatError(f"the TLVs at {start:#x} start with {found:04x}, not {magic:04x}", subject=_SUBJECT)
    if total < _TLV.size or end > len(data):
        raise FormatError(f"the TLVs at {start:#x} do not fit into {len(data)} bytes", subject=_SUBJECT)
    return tuple(_entries(data, start + _TLV.size, end)), end


def _entries(data: bytes, position: int, end: int) -> Iterator[Tlv]:
    while position < end:
        value_at = position + _TLV.size
        if value_at > end:
            raise FormatError(f"half a TLV at {position:#x}", subject=_SUBJECT)
        kind, length = _TLV.unpack_from(data, position)
        position = value_at + length
        if position > end:
            raise FormatError(f"TLV {kind:#04x} at {value_at - _TLV.size:#x} runs over its block", subject=_SUBJECT)
        yield Tlv(type=kind, value=bytes(data[value_at:position]))


def _security_counter(protected: tuple[Tlv, ...]) -> int | None:
    found = [entry.value for entry in protected if entry.type == TlvType.SECURITY_COUNTER]
    if not found:
        return None
    if len(found) > 1 or len(found[0]) != _COUNTER.size:
        raise FormatError("the security counter is not one 32-bit number", subject=_SUBJECT)
    counter: int = _COUNTER.unpack(found[0])[0]
    return counter


def _image_hash(entries: tuple[Tlv, ...]) -> bytes:
    found = [entry.value for entry in entries if entry.type == TlvType.SHA256]
    if not found:
        raise FormatError("there is no SHA-256 TLV", subject=_SUBJECT)
    if any(value != found[0] or len(value) != 32 for value in found):
        raise FormatError("the SHA-256 TLVs are not one 32-byte hash", subject=_SUBJECT)
    return found[0]


def check(data: bytes) -> Image:
    """The whole and bootable image at the start of ``data``: its hash matches; who signed it is not asked.

    This is what boots while a unit's boot-key fuses are blank. Raises :class:`FormatError` for what is not an image and
    :class:`InputError` for an image that is not whole or not to be started.
    """
    image = parse(data)
    if image.flags & _NOT_STARTED:
        raise InputError(f"header flag {Flag(image.flags & _NOT_STARTED).name} is not supported", subject=_SUBJECT)
    if not hmac.compare_digest(sha256(image.signed), image.image_hash):
        raise InputError("the hash does not match", subject=_SUBJECT, next_step="Build or send the image again")
    return image


def verify(data: bytes, key_spki: bytes, *, least_security_counter: int) -> Image:
    """The image at the start of ``data``, if a boot loader with this key and stored counter would start it.

    ``key_spki`` is a P-256 public key (SubjectPublicKeyInfo, DER). Raises :class:`FormatError` for what is not an image
    or not such a key, and :class:`InputError` that says which check failed.
    """
    key = load_boot_key(key_spki)
    image = check(data)
    _check_allowed(image)
    if not _signed_by(image, key, sha256(key_spki)):
        raise InputError("no valid signature by the boot key", subject=_SUBJECT, next_step="Sign it with that key")
    if image.security_counter is None:
        raise InputError("there is no protected security counter", subject=_SUBJECT)
    if image.security_counter < least_security_counter:
        raise InputError(
            f"security counter {image.security_counter} is below the stored {least_security_counter}",
            subject=_SUBJECT,
            next_step="Release a newer image",
        )
    return image


def _check_allowed(image: Image) -> None:
    for entry in image.unprotected:
        if entry.type not in _ALLOWED_UNPROTECTED:
            raise InputError(f"TLV {entry.type:#04x} is not allowed outside the protected TLVs", subject=_SUBJECT)


def _signed_by(image: Image, key: ec.EllipticCurvePublicKey, key_hash: bytes) -> bool:
    valid = selected = False
    for entry in (*image.protected, *image.unprotected):
        if entry.type == TlvType.KEYHASH:
            selected = entry.value == key_hash
        elif entry.type == TlvType.ECDSA:
            if selected:
                valid = _signature_holds(key, entry.value, image.signed)
            selected = False
    return valid


def _signature_holds(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def load_boot_key(spki: bytes) -> ec.EllipticCurvePublicKey:
    """The P-256 key in ``spki`` (SubjectPublicKeyInfo, DER), or :class:`FormatError`."""
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise FormatError("not a SubjectPublicKeyInfo in DER", subject="boot key") from problem
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise FormatError("not a P-256 key", subject="boot key")
    return key
