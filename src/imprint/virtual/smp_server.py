"""SMP messages in, SMP messages out: the server in a unit's firmware, or in its boot ROM."""

import struct
from typing import Final

import cbor2
from smp.error import MGMT_ERR
from smp.header import OP, Header, Version
from smp.message import Request

from imprint.formats.provisioning_group import GROUP_ID, Mode, ProvisioningErr
from imprint.virtual import image_commands, os_commands, provisioning_commands, settings_commands
from imprint.virtual.framing import Message
from imprint.virtual.refusal import Refusal
from imprint.virtual.route import Route
from imprint.virtual.unit import Unit

_HEADER: Final = struct.Struct("!BBHHBB")  # operation and version, flags, length, group, sequence, command
_ANSWER: Final = {OP.READ: OP.READ_RSP, OP.WRITE: OP.WRITE_RSP}
_ROUTES: Final[dict[tuple[int, int, int], Route]] = {
    route.key: route
    for commands in (os_commands, image_commands, settings_commands, provisioning_commands)
    for route in commands.ROUTES
}


def answer(unit: Unit, message: Message) -> bytes | None:
    """The answer to a message; None for what is not a request, and from a firmware that hangs.

    Raises :class:`imprint.virtual.flash.PowerLost` when the unit loses its power on the way.
    """
    first, _, _, group, sequence, command = _HEADER.unpack_from(message.data)
    operation, version = first & 0b111, first >> 3 & 0b11
    if operation not in _ANSWER:
        return None
    unit.requests += 1
    if unit.is_hung():
        return None
    try:
        if version > Version.V2:
            raise Refusal(MGMT_ERR.UNSUPPORTED_TOO_NEW)
        route = _route(unit, (operation, group, command))
        fields = route.handle(unit, _request(route, message))
    except Refusal as refusal:
        fields = refusal.fields(version_2=version != Version.V1)
    body = cbor2.dumps(fields, canonical=True)
    answered = _ANSWER[OP(operation)] | min(version, Version.V2) << 3
    return _HEADER.pack(answered, 0, len(body), group, sequence, command) + body


def _route(unit: Unit, key: tuple[int, int, int]) -> Route:
    route = _ROUTES.get(key)
    if route is None:
        raise Refusal(MGMT_ERR.ENOTSUP)
    if unit.mode is Mode.ROM and not route.in_rom:
        raise Refusal(ProvisioningErr.WRONG_MODE if key[1] == GROUP_ID else MGMT_ERR.ENOTSUP)
    return route


def _request(route: Route, message: Message) -> Request:
    if not message.is_whole:
        raise Refusal(MGMT_ERR.EMSGSIZE)
    if int.from_bytes(message.data[2:4], "big") != len(message.data) - Header.SIZE:
        raise Refusal(MGMT_ERR.EINVAL)
    try:
        return route.request.loads(message.data)
    except Exception:  # hostile CBOR and fields: cbor2 and pydantic raise several types, all of which mean this
        is_ours = route.key[1] == GROUP_ID
        raise Refusal(ProvisioningErr.BAD_VALUE if is_ours else MGMT_ERR.EINVAL) from None
