"""An operation: what may be asked at one route, by the name under which ``permissions.py`` allows it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from imprint.authority.access.account import Account
from imprint.errors import FormatError

# What stands in a path, and how it must look.
PARAMETERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "request_id": r"^[A-Za-z0-9._~-]{1,200}$",
        "lot": r"^[A-Za-z0-9._-]{1,64}$",
        "product": r"^[A-Za-z0-9._-]{1,64}$",
        "name": r"^[A-Za-z0-9.:-]{1,64}$",  # a serial number or a hardware ID
        "number": r"^[0-9a-f]{1,40}$",  # RFC 5280 section 4.1.2.2: at most 20 bytes
        "path": r"^(checkpoint|vkey|tile(/[0-9a-z]+(\.p)?)+)$",
    }
)
_PATTERNS: Final = {name: re.compile(pattern.removesuffix("$") + r"\Z") for name, pattern in PARAMETERS.items()}
_NAMES: Final = re.compile(r"\{([a-z_]+)")

Work = Callable[[Account, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """``path`` as Starlette takes it."""

    name: str
    method: str
    path: str
    work: Work

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in its path."""
        return names_in(self.path)


def names_in(path: str) -> tuple[str, ...]:
    """The names of the parameters in a path."""
    return tuple(_NAMES.findall(path))


def parameter(request: Request, name: str) -> str:
    """What stands in the path. Raises :class:`FormatError` when it is not of its form."""
    value: str = request.path_params[name]
    if _PATTERNS[name].match(value) is None:
        raise FormatError(f"the path's {name} is not like {PARAMETERS[name]}", subject="path")
    return value
