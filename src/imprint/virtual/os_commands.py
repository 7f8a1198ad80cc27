"""MCUmgr's OS group: echo, reset, parameters (Zephyr's ``smp_group_0``)."""

from typing import Final

from smp import os_management as smp_os

from imprint.virtual.framing import BUFFER_SIZE
from imprint.virtual.route import Fields, Route
from imprint.virtual.unit import Unit


def echo(unit: Unit, request: smp_os.EchoWriteRequest) -> Fields:
    """The same text."""
    return {"r": request.d}


def reset(unit: Unit, request: smp_os.ResetWriteRequest) -> Fields:
    """Boot again once the answer is on its way."""
    unit.reset_is_due = True
    return {}


def parameters(unit: Unit, request: smp_os.MCUMgrParametersReadRequest) -> Fields:
    """How large a frame may be, and how many may be on their way."""
    return {"buf_size": BUFFER_SIZE, "buf_count": 1}


ROUTES: Final = (
    Route(request=smp_os.EchoWriteRequest, handle=echo, in_rom=True),
    Route(request=smp_os.ResetWriteRequest, handle=reset, in_rom=True),
    Route(
        request=smp_os.MCUMgrParametersReadRequest,
        handle=parameters,
        in_rom=True,
    ),
)
