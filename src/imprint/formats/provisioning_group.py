"""The SMP user group for provisioning: what a unit answers on the line.

SMP (the management protocol of MCUmgr/Zephyr) reserves group IDs from 64 for users. Ours is 73. The messages are
plain SMP: CBOR maps over the serial framing, version 2. ``docs/formats/provisioning-group.md`` is the specification for
a firmware engineer; this module is its executable form, used by the station's driver and by the virtual unit.

Signed statement (command ``PROVE``): the unit signs ``STATEMENT_CONTEXT || statement`` with its identity key, where
``statement`` is a deterministic CBOR map (RFC 8949 section 4.2.1) with the fields of :class:`UnitStatement`. ECDSA
signatures are DER (RFC 3279); P-256 with SHA-256, or Ed25519 (RFC 8032).
"""

from dataclasses import dataclass, fields
from enum import IntEnum, unique
from typing import Final

import cbor2
from smp import error, message

from imprint.errors import FormatError

GROUP_ID: Final = 73
PROTOCOL_VERSION: Final = 1
STATEMENT_CONTEXT: Final = b"imprint/unit-statement/v1\x00"
MAX_STATEMENT: Final = 1024  # bytes; some CBOR tags cost more than linear time to decode


@unique
class Command(IntEnum):
    """Command IDs of the group."""

    IDENTIFY = 0
    KEY = 1
    CSR = 2
    CERTIFICATE = 3
    BOOT_KEY = 4
    DEBUG = 5
    COUNTERS = 6
    PROVE = 7
    SELF_TEST = 8


@unique
class Mode(IntEnum):
    """What is running: the boot ROM's recovery server, or a verified application."""

    ROM = 0
    APPLICATION = 1


@unique
class DebugLevel(IntEnum):
    """0: open (halt, read, write). 1: attach and read the ID only. 2: closed for good (a fuse)."""

    OPEN = 0
    RESTRICTED = 1
    LOCKED = 2


@unique
class KeyAlgorithm(IntEnum):
    """Algorithms of an identity key. Numbers are stable; new ones are appended."""

    P256 = 0
    ED25519 = 1


@unique
class ProvisioningErr(IntEnum):
    """Group-specific return codes (SMP version 2 ``err.rc``)."""

    OK = 0
    UNKNOWN = 1
    NO_KEY = 2  # the key slot is empty
    WRONG_MODE = 3  # needs a verified application
    LOCKED = 4  # refused since the debug port is locked: what makes the unit what it is does not change any more
    FUSED = 5  # the fuse already holds another value
    BAD_VALUE = 6  # a field is malformed or out of range
    KEY_MISMATCH = 7  # the certificate is for another key
    BAD_OFFSET = 8  # a chunk does not follow the previous one


class _Group:
    _GROUP_ID = GROUP_ID


class ErrorV1(_Group, error.ErrorV1):
    """SMP version 1 error of this group."""


class ErrorV2(_Group, error.ErrorV2[ProvisioningErr]):
    """SMP version 2 error of this group."""


class IdentifyRequest(_Group, message.ReadRequest):
    """Who are you? Allowed in every mode and at every debug level."""

    _COMMAND_ID = Command.IDENTIFY


class IdentifyResponse(_Group, message.ReadResponse):
    """``hw``: hardware ID as the silicon reports it, 4 to 32 bytes."""

    _COMMAND_ID = Command.IDENTIFY

    v: int  # PROTOCOL_VERSION
    hw: bytes
    part: str  # the kind of board, as the firmware calls it
    mode: int  # Mode
    boots: int  # boots since the unit was made
    boot_error: str  # "" or why the last boot refused an image


class KeyReadRequest(_Group, message.ReadRequest):
    """The public key in the identity slot."""

    _COMMAND_ID = Command.KEY


class KeyWriteRequest(_Group, message.WriteRequest):
    """Make the identity key. On a unit that has one, the same key is returned and ``made`` is false."""

    _COMMAND_ID = Command.KEY

    alg: int  # KeyAlgorithm


class KeyReadResponse(_Group, message.ReadResponse):
    """``pub``: SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7)."""

    _COMMAND_ID = Command.KEY

    alg: int
    pub: bytes


class KeyWriteResponse(_Group, message.WriteResponse):
    """As :class:`KeyReadResponse`; ``made`` tells whether the key is new."""

    _COMMAND_ID = Command.KEY

    alg: int
    pub: bytes
    made: bool


class CsrRequest(_Group, message.ReadRequest):
    """A PKCS#10 request (RFC 2986) for the identity key, signed by it."""

    _COMMAND_ID = Command.CSR


class CsrResponse(_Group, message.ReadResponse):
    """``csr``: DER."""

    _COMMAND_ID = Command.CSR

    csr: bytes


class CertificateReadRequest(_Group, message.ReadRequest):
    """A piece of the stored certificate, from ``off``."""

    _COMMAND_ID = Command.CERTIFICATE

    off: int


class CertificateReadResponse(_Group, message.ReadResponse):
    """``len`` is the whole certificate's length; 0 when there is none."""

    _COMMAND_ID = Command.CERTIFICATE

    off: int
    len: int
    data: bytes


class CertificateWriteRequest(_Group, message.WriteRequest):
    """A piece of the certificate (DER) at ``off``; ``len`` is the whole length and is in every piece.

    The piece that completes it makes the unit check that the certificate is for its key, and store it.
    """

    _COMMAND_ID = Command.CERTIFICATE

    off: int
    len: int
    data: bytes


class CertificateWriteResponse(_Group, message.WriteResponse):
    """``off``: the offset that the unit wants next."""

    _COMMAND_ID = Command.CERTIFICATE

    off: int


class BootKeyReadRequest(_Group, message.ReadRequest):
    """The hash in the boot-key fuses."""

    _COMMAND_ID = Command.BOOT_KEY


class BootKeyReadResponse(_Group, message.ReadResponse):
    """``hash``: SHA-256 of the boot key's SubjectPublicKeyInfo; empty when the fuses are blank."""

    _COMMAND_ID = Command.BOOT_KEY

    hash: bytes


class BootKeyWriteRequest(_Group, message.WriteRequest):
    """Burn the boot-key fuses. Irreversible. The public key is stored beside them; its hash must match."""

    _COMMAND_ID = Command.BOOT_KEY

    pub: bytes  # SubjectPublicKeyInfo, DER


class BootKeyWriteResponse(_Group, message.WriteResponse):
    """What the fuses read after the write."""

    _COMMAND_ID = Command.BOOT_KEY

    hash: bytes


class DebugReadRequest(_Group, message.ReadRequest):
    """The debug port's level, as the firmware sees it."""

    _COMMAND_ID = Command.DEBUG


class DebugReadResponse(_Group, message.ReadResponse):
    """``level``: :class:`DebugLevel`."""

    _COMMAND_ID = Command.DEBUG

    level: int


class DebugWriteRequest(_Group, message.WriteRequest):
    """Raise the debug level. Irreversible at ``LOCKED``; takes hold at the next power cycle. Lowering is refused."""

    _COMMAND_ID = Command.DEBUG

    level: int


class DebugWriteResponse(_Group, message.WriteResponse):
    """The level that was written."""

    _COMMAND_ID = Command.DEBUG

    level: int


class CountersRequest(_Group, message.ReadRequest):
    """``session`` goes up by one at every boot of an application; ``monotonic`` at every signed statement."""

    _COMMAND_ID = Command.COUNTERS


class CountersResponse(_Group, message.ReadResponse):
    """Neither counter ever goes down or wraps."""

    _COMMAND_ID = Command.COUNTERS

    session: int
    monotonic: int
    security: int  # the security counter kept by the boot ROM


class ProveRequest(_Group, message.WriteRequest):
    """Sign a statement about yourself over ``nonce`` (16 to 64 bytes)."""

    _COMMAND_ID = Command.PROVE

    nonce: bytes


class ProveResponse(_Group, message.WriteResponse):
    """``statement``: the signed CBOR bytes; ``sig``: over ``STATEMENT_CONTEXT || statement``."""

    _COMMAND_ID = Command.PROVE

    statement: bytes
    sig: bytes


class SelfTestRequest(_Group, message.WriteRequest):
    """Run the firmware's own test."""

    _COMMAND_ID = Command.SELF_TEST


class SelfTestResponse(_Group, message.WriteResponse):
    """``values``: measurements by name, in the unit that the name ends in (``vdd_mv``, ``temp_mc``)."""

    _COMMAND_ID = Command.SELF_TEST

    ok: bool
    values: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStatement:
    """What a unit says of itself under its own key."""

    v: int
    nonce: bytes
    hw: bytes  # hardware ID
    cert: bytes  # SHA-256 of the stored certificate's DER; empty when there is none
    image: bytes  # SHA-256 TLV of the running image; empty in ROM mode
    version: str  # of the running image: major.minor.revision+build
    security: int  # security counter kept by the boot ROM
    boot_key: bytes  # SHA-256 of the fused boot key's SPKI; empty when blank
    debug: int  # DebugLevel in force
    session: int
    monotonic: int

    def encode(self) -> bytes:
        """Deterministic CBOR (RFC 8949 section 4.2.1)."""
        return cbor2.dumps({name: getattr(self, name) for name in self.__slots__}, canonical=True)

    @classmethod
    def decode(cls, data: bytes) -> "UnitStatement":
        """A statement, or :class:`FormatError`; other fields, other types and other encodings are refused."""
        if len(data) > MAX_STATEMENT:
            raise FormatError(f"{len(data)} bytes are more than {MAX_STATEMENT}", subject="unit statement")
        try:
            found = cbor2.loads(data)
        except Exception as problem:  # cbor2 raises several types on hostile bytes
            raise FormatError("not CBOR", subject="unit statement") from problem
        wanted = {field.name: field.type for field in fields(cls)}
        if not isinstance(found, dict) or found.keys() != wanted.keys():
            raise FormatError("the fields are not those of a unit statement", subject="unit statement")
        for name, kind in wanted.items():
            value = found[name]
            if type(value) is not kind or (kind is int and not 0 <= value < 2**53):
                raise FormatError(f"{name} has the wrong type or range", subject="unit statement")
        statement = cls(**found)
        if statement.encode() != data:
            raise FormatError("the CBOR is not deterministic", subject="unit statement")
        if statement.v != PROTOCOL_VERSION:
            raise FormatError(f"version {statement.v} is not known", subject="unit statement")
        return statement
