"""What people may ask for over HTTPS: a command's body, and what the authority decides for it."""

from collections.abc import Callable

from imprint.assemble import Platform
from imprint.protocol.command_codec import COMMANDS as BODIES
from imprint.protocol.command_codec import encode_command, parse_command
from imprint.protocol.commands import MAX_COMMAND as MAX_BODY

__all__ = ["BODIES", "MAX_BODY", "read_command"]


def read_command(kind: str, data: bytes) -> tuple[bytes, Callable[[Platform], object]]:
    """A body in its one form, by which repeats are known, and what makes its request. Raises :class:`FormatError`."""
    command = parse_command(kind, data)
    body = kind.encode() + b"\n" + encode_command(command)
    return body, lambda platform: platform.request(command)
