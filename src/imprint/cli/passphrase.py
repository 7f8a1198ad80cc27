"""Passphrases: from a hidden prompt, a private file or a file descriptor; never from an argument or the environment."""

import getpass
import os
import stat
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from imprint.errors import PassphraseError

LEAST_CHARACTERS: Final = 12
MOST_BYTES: Final = 1024

PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="The passphrase: the first line of this private file"),
]
PassphraseFd = Annotated[
    int | None,
    typer.Option("--passphrase-fd", metavar="N", help="The passphrase: the next line of this open descriptor"),
]


@dataclass(frozen=True, slots=True)
class Secret:
    """Bytes that don't show themselves."""

    _value: bytes = field(repr=False)

    def reveal(self) -> bytes:
        """The bytes. Don't log, print or keep them."""
        return self._value


def read_passphrase(name: str, *, file: Path | None = None, fd: int | None = None, new: bool = False) -> Secret:
    """The passphrase of ``name`` (as in "workspace" or "root CA"): from ``file``, else ``fd``, else the terminal.

    A line ends at its newline, which is not part of the passphrase. From a descriptor no byte after the newline is
    read, so that two passphrases may come through one. ``new``: for a key that is being made: at least
    ``LEAST_CHARACTERS`` long, and typed twice at a terminal. Raises :class:`PassphraseError`.
    """
    if file is not None and fd is not None:
        raise PassphraseError("a file and a descriptor were both given", subject=name, next_step="Give one of them")
    if file is not None:
        line = _from_file(file)
    elif fd is not None:
        line = _line(fd, f"descriptor {fd}")
    else:
        line = _asked(f"Passphrase for {name}: ", name)
    if not line:
        raise PassphraseError("the passphrase is empty", subject=name)
    if new:
        _check_length(line, name)
        if file is None and fd is None and _asked("The same again: ", name) != line:
            raise PassphraseError("the two entries differ", subject=name, next_step="Nothing was made; start again")
    return Secret(line)


def _check_length(line: bytes, name: str) -> None:
    if len(line.decode(errors="replace")) < LEAST_CHARACTERS:
        raise PassphraseError(
            f"the passphrase is shorter than {LEAST_CHARACTERS} characters",
            subject=name,
            next_step="Five random words make a good one",
        )


def _from_file(file: Path) -> bytes:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise PassphraseError(f"cannot be opened ({error.strerror})", subject=str(file)) from error
    try:
        # Asked of the open file, so that it is the one that is then read.
        if os.fstat(descriptor).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise PassphraseError(
                "others than its owner may use this file", subject=str(file), next_step=f"chmod 600 {file}"
            )
        return _line(descriptor, str(file))
    finally:
        os.close(descriptor)


def _line(descriptor: int, source: str) -> bytes:
    line = bytearray()
    try:
        if os.isatty(descriptor):
            raise PassphraseError("a terminal would show what is typed", subject=source, next_step="Use the prompt")
        while (byte := os.read(descriptor, 1)) not in (b"", b"\n"):
            line += byte
            if len(line) > MOST_BYTES:
                raise PassphraseError(f"the first line is longer than {MOST_BYTES} bytes", subject=source)
    except (OSError, OverflowError) as error:  # OverflowError: no descriptor has such a number
        raise PassphraseError("cannot be read", subject=source, next_step="Check that it is open") from error
    return bytes(line.removesuffix(b"\r"))


def _asked(question: str, name: str) -> bytes:
    try:
        with warnings.catch_warnings():
            # Without a terminal getpass would warn and then read, and show, what is typed.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(question).encode(errors="surrogateescape")
    except EOFError:
        return b""
    except (getpass.GetPassWarning, OSError) as error:
        raise PassphraseError(
            "there is no terminal to ask at", subject=name, next_step="Use --passphrase-file or --passphrase-fd"
        ) from error
