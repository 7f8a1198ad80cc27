"""The unit's debug port, as a probe on the bench finds it."""

from typing import Final

from imprint.formats.bench_port import Attached, Locked, Reply
from imprint.formats.provisioning_group import DebugLevel

IDCODE: Final = 0x2BA01477  # DPIDR of a Cortex-M4's serial-wire debug port


def attach(level: DebugLevel) -> Reply:
    """What a probe gets at the level that is in force."""
    if level is DebugLevel.LOCKED:
        return Locked()
    return Attached(level=level, idcode=IDCODE)
