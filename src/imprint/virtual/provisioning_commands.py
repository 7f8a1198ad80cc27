"""The provisioning group, as :mod:`imprint.formats.provisioning_group` defines it."""

from typing import Final

from imprint.formats import provisioning_group as group
from imprint.formats.provisioning_group import DebugLevel, KeyAlgorithm, ProvisioningErr
from imprint.virtual.refusal import Refusal
from imprint.virtual.route import Fields, Route
from imprint.virtual.unit import PART, Unit

LARGEST_PIECE: Final = 1024  # bytes of certificate in one answer


def identify(unit: Unit, request: group.IdentifyRequest) -> Fields:
    """Who and in which state."""
    return {
        "v": group.PROTOCOL_VERSION,
        "hw": unit.hardware_id,
        "part": PART,
        "mode": int(unit.mode),
        "boots": unit.silicon.counters.boots,
        "boot_error": unit.boot_error,
    }


def read_key(unit: Unit, request: group.KeyReadRequest) -> Fields:
    """The public key."""
    slot = unit.silicon.key_slot
    if slot.is_empty:
        raise Refusal(ProvisioningErr.NO_KEY)
    return {"alg": int(slot.algorithm), "pub": slot.public}


def make_key(unit: Unit, request: group.KeyWriteRequest) -> Fields:
    """The key, made if need be."""
    try:
        algorithm = KeyAlgorithm(request.alg)
    except ValueError:
        raise Refusal(ProvisioningErr.BAD_VALUE) from None
    made = unit.make_key(algorithm)
    slot = unit.silicon.key_slot
    return {"alg": int(slot.algorithm), "pub": slot.public, "made": made}


def request_certificate(unit: Unit, request: group.CsrRequest) -> Fields:
    """A PKCS#10 request."""
    slot = unit.silicon.key_slot
    if slot.is_empty:
        raise Refusal(ProvisioningErr.NO_KEY)
    return {"csr": slot.request(unit.hardware_id.hex())}


def read_certificate(unit: Unit, request: group.CertificateReadRequest) -> Fields:
    """A piece of the certificate."""
    certificate = unit.silicon.certificate
    if not 0 <= request.off <= len(certificate):
        raise Refusal(ProvisioningErr.BAD_VALUE)
    piece = certificate[request.off : request.off + LARGEST_PIECE]
    return {"off": request.off, "len": len(certificate), "data": piece}


def write_certificate(unit: Unit, request: group.CertificateWriteRequest) -> Fields:
    """Take a piece of the certificate."""
    return {"off": unit.write_certificate(request.off, request.len, request.data)}


def read_boot_key(unit: Unit, request: group.BootKeyReadRequest) -> Fields:
    """What the fuses hold."""
    return {"hash": unit.silicon.fuses.boot_key_hash}


def write_boot_key(unit: Unit, request: group.BootKeyWriteRequest) -> Fields:
    """Burn, and read the fuses back."""
    unit.burn_boot_key(request.pub)
    return {"hash": unit.silicon.fuses.boot_key_hash}


def read_debug(unit: Unit, request: group.DebugReadRequest) -> Fields:
    """The level in force."""
    return {"level": int(unit.debug)}


def write_debug(unit: Unit, request: group.DebugWriteRequest) -> Fields:
    """Burn a level for the next power cycle."""
    try:
        level = DebugLevel(request.level)
    except ValueError:
        raise Refusal(ProvisioningErr.BAD_VALUE) from None
    unit.raise_debug(level)
    return {"level": int(level)}


def read_counters(unit: Unit, request: group.CountersRequest) -> Fields:
    """The counters."""
    counters = unit.silicon.counters
    return {"session": counters.session, "monotonic": counters.monotonic, "security": counters.security}


def prove(unit: Unit, request: group.ProveRequest) -> Fields:
    """A signed statement."""
    statement, signature = unit.state(request.nonce)
    return {"statement": statement, "sig": signature}


def test_itself(unit: Unit, request: group.SelfTestRequest) -> Fields:
    """The firmware's own test."""
    passed, values = unit.test_itself()
    return {"ok": passed, "values": values}


ROUTES: Final = (
    Route(request=group.IdentifyRequest, handle=identify, in_rom=True),
    Route(request=group.KeyReadRequest, handle=read_key),
    Route(request=group.KeyWriteRequest, handle=make_key),
    Route(request=group.CsrRequest, handle=request_certificate),
    Route(request=group.CertificateReadRequest, handle=read_certificate),
    Route(request=group.CertificateWriteRequest, handle=write_certificate),
    Route(request=group.BootKeyReadRequest, handle=read_boot_key, in_rom=True),
    Route(request=group.BootKeyWriteRequest, handle=write_boot_key, in_rom=True),
    Route(request=group.DebugReadRequest, handle=read_debug, in_rom=True),
    Route(request=group.DebugWriteRequest, handle=write_debug),
    Route(request=group.CountersRequest, handle=read_counters),
    Route(request=group.ProveRequest, handle=prove),
    Route(request=group.SelfTestRequest, handle=test_itself),
)
