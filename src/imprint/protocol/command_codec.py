"""Commands <-> JSON bytes, as :mod:`imprint.protocol.codec` has it for a station's messages."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter, with_config

from imprint.protocol.codec import CONFIG, validate
from imprint.protocol.commands import KINDS, MAX_COMMAND, Command

for _command in KINDS:
    with_config(CONFIG)(_command)

# By the name under which each is sent.
COMMANDS: Final[Mapping[str, TypeAdapter[Any]]] = MappingProxyType(
    {kind: TypeAdapter(command) for command, kind in KINDS.items()}
)

# Bytes of a whole body; MAX_COMMAND for an image of 16 MiB in base64, and some room.
_LIMITS: Final = MappingProxyType({"add-release": MAX_COMMAND, "add-product": 4 << 20, "create-lot": 4 << 20})
_LIMIT: Final = 1 << 16


def most_bytes(kind: str) -> int:
    """How long a command of this kind may be."""
    return _LIMITS.get(kind, _LIMIT)


def encode_command(command: Command) -> bytes:
    """The command's bytes in their one form, by which repeats of a request are known."""
    return COMMANDS[KINDS[type(command)]].dump_json(command)


def parse_command(kind: str, data: bytes) -> Command:
    """A command of this kind from any JSON that says the same, within its limits. Raises :class:`FormatError`."""
    command: Command = validate(COMMANDS[kind], data, kind)
    return command
