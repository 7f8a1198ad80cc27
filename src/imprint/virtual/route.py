"""One command of the SMP server: which request it takes, what it answers, when it is there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from smp.message import Request

from imprint.virtual.unit import Unit

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """``handle`` gets the unit and the request, and returns the answer's fields or raises ``Refusal``."""

    request: type[Request]
    handle: Callable[[Unit, Any], Fields]
    in_rom: bool = False  # the boot ROM's recovery server has it as well

    @property
    def key(self) -> tuple[int, int, int]:
        """Operation, group and command, as in an SMP header."""
        return int(self.request._OP), int(self.request._GROUP_ID), int(self.request._COMMAND_ID)
