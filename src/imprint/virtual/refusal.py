"""How a unit says no in SMP: a group's own code in version 2, MCUmgr's general code in version 1."""

from enum import IntEnum
from typing import Final

from smp.error import MGMT_ERR
from smp.header import GroupId
from smp.image_management import IMG_MGMT_ERR
from smp.settings_management import SETTINGS_MGMT_ERR

from imprint.formats.provisioning_group import GROUP_ID, ProvisioningErr

_GROUPS: Final[dict[type[IntEnum], int]] = {
    IMG_MGMT_ERR: GroupId.IMAGE_MANAGEMENT,
    SETTINGS_MGMT_ERR: GroupId.SETTINGS_MANAGEMENT,
    ProvisioningErr: GROUP_ID,
}
# By group: members of two integer enumerations that have one number are equal, and so one key.
_GENERAL: Final[dict[type[IntEnum], dict[IntEnum, MGMT_ERR]]] = {
    IMG_MGMT_ERR: {
        IMG_MGMT_ERR.HASH_NOT_FOUND: MGMT_ERR.ENOENT,
        IMG_MGMT_ERR.NO_FREE_SLOT: MGMT_ERR.EBADSTATE,
        IMG_MGMT_ERR.FLASH_WRITE_FAILED: MGMT_ERR.EUNKNOWN,
        IMG_MGMT_ERR.CURRENT_VERSION_IS_NEWER: MGMT_ERR.EBADSTATE,
        IMG_MGMT_ERR.IMAGE_SETTING_TEST_TO_ACTIVE_DENIED: MGMT_ERR.EBADSTATE,
    },
    SETTINGS_MGMT_ERR: {SETTINGS_MGMT_ERR.KEY_NOT_FOUND: MGMT_ERR.ENOENT},
    ProvisioningErr: {
        ProvisioningErr.NO_KEY: MGMT_ERR.ENOENT,
        ProvisioningErr.WRONG_MODE: MGMT_ERR.EBADSTATE,
        ProvisioningErr.LOCKED: MGMT_ERR.EACCESSDENIED,
        ProvisioningErr.FUSED: MGMT_ERR.EBADSTATE,
    },
}


class Refusal(Exception):
    """The firmware refuses a request. ``code`` is a :class:`MGMT_ERR` or a code of the request's group."""

    def __init__(self, code: IntEnum) -> None:
        super().__init__(code.name)
        self.code = code

    def fields(self, *, version_2: bool) -> dict[str, object]:
        """The CBOR map of the answer. A general code has the same form in both versions."""
        kind = type(self.code)
        if kind is MGMT_ERR:
            return {"rc": int(self.code)}
        if version_2:
            return {"err": {"group": int(_GROUPS[kind]), "rc": int(self.code)}}
        return {"rc": int(_GENERAL[kind].get(self.code, MGMT_ERR.EINVAL))}
