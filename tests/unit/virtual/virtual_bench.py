"""What the tests of the virtual unit share: signed images, and a station's side of SMP by the ``smp`` package."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from smp import image_management as smp_image
from smp.header import OP, Header
from smp.message import ReadResponse, Request, WriteResponse

from imprint.formats import mcuboot
from imprint.formats import provisioning_group as group
from imprint.virtual import smp_server
from imprint.virtual.fault import Faults
from imprint.virtual.framing import Message
from imprint.virtual.silicon import Silicon
from imprint.virtual.unit import Unit

SLOT_SIZE: Final = 3 * 4096
_RESPONSES: Final = {
    (kind._OP, kind._COMMAND_ID): kind
    for kind in vars(group).values()
    if isinstance(kind, type) and issubclass(kind, ReadResponse | WriteResponse)
}
KEY: Final = ec.derive_private_key(0x1337, ec.SECP256R1())
OTHER_KEY: Final = ec.derive_private_key(0x4242, ec.SECP256R1())


def spki(key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def signer(key: ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    return lambda message: key.sign(message, ec.ECDSA(hashes.SHA256()))


def image(version: str, counter: int, *, key: ec.EllipticCurvePrivateKey = KEY, size: int = 600) -> bytes:
    return mcuboot.build(
        version.encode() * (size // len(version)),
        version=mcuboot.parse_version(version),
        security_counter=counter,
        key_spki=spki(key),
        sign=signer(key),
        header_size=32,
    )


def new_unit(folder: Path, faults: Faults | None = None) -> Unit:
    """A unit out of ``folder``, its power just switched on."""
    silicon = Silicon(folder, slot_size=SLOT_SIZE)
    return Unit(silicon, faults or Faults(), hardware_id=silicon.hardware_id)


def ask(unit: Unit, request: Request) -> dict[str, Any]:
    """The CBOR map of the answer, whose header fits the request; then what the unit does after answering."""
    answered = smp_server.answer(unit, Message(data=bytes(request)))
    assert answered is not None, "no answer"
    header = Header.loads(answered[:8])
    assert header.op == {OP.READ: OP.READ_RSP, OP.WRITE: OP.WRITE_RSP}[request.header.op]
    assert (header.group_id, header.command_id) == (request.header.group_id, request.header.command_id)
    assert (header.sequence, header.version) == (request.header.sequence, request.header.version)
    assert header.length == len(answered) - 8
    fields: dict[str, Any] = cbor2.loads(answered[8:])
    if header.group_id == group.GROUP_ID and "err" not in fields:
        _RESPONSES[header.op, header.command_id].loads(answered)  # exactly the fields that the group defines
    if unit.reset_is_due:
        unit.reset()
    return fields


def upload(unit: Unit, data: bytes, *, piece: int = 500) -> dict[str, Any]:
    """Send a whole image; the last answer."""
    request = smp_image.ImageUploadWriteRequest(off=0, data=data[:piece], len=len(data), image=0)
    answer = ask(unit, request)
    while "off" in answer and answer["off"] < len(data):
        start = answer["off"]
        answer = ask(unit, smp_image.ImageUploadWriteRequest(off=start, data=data[start : start + piece]))
    return answer


def install(unit: Unit, data: bytes) -> None:
    """Upload, mark, boot."""
    upload(unit, data)
    wanted = mcuboot.parse(data).image_hash
    assert "images" in ask(unit, smp_image.ImageStatesWriteRequest(hash=wanted))
    unit.reset()
