"""MCUmgr's settings group: read and write (Zephyr's ``smp_group_3``). A write is stored when it is answered."""

from typing import Final

from smp import settings_management as smp_settings
from smp.error import MGMT_ERR
from smp.settings_management import SETTINGS_MGMT_ERR

from imprint.virtual.refusal import Refusal
from imprint.virtual.route import Fields, Route
from imprint.virtual.unit import Unit

LONGEST_NAME: Final = 64
LARGEST_VALUE: Final = 256
MOST_SETTINGS: Final = 64


def read(unit: Unit, request: smp_settings.ReadSettingRequest) -> Fields:
    """The value, cut to ``max_size``."""
    value = unit.silicon.settings.get(request.name)
    if value is None:
        raise Refusal(SETTINGS_MGMT_ERR.KEY_NOT_FOUND)
    if request.max_size is not None and request.max_size < 0:
        raise Refusal(MGMT_ERR.EINVAL)
    return {"val": value[: request.max_size]}


def write(unit: Unit, request: smp_settings.WriteSettingRequest) -> Fields:
    """Store a value."""
    if not 0 < len(request.name) <= LONGEST_NAME:
        raise Refusal(SETTINGS_MGMT_ERR.KEY_TOO_LONG)
    if len(request.val) > LARGEST_VALUE:
        raise Refusal(MGMT_ERR.EMSGSIZE)
    settings = unit.silicon.settings | {request.name: request.val}
    if len(settings) > MOST_SETTINGS:
        raise Refusal(MGMT_ERR.ENOMEM)
    unit.silicon.keep_settings(settings)
    return {}


ROUTES: Final = (
    Route(request=smp_settings.ReadSettingRequest, handle=read),
    Route(request=smp_settings.WriteSettingRequest, handle=write),
)
