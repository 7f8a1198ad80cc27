"""Errors as people and machines see them: one line on stderr, a next step, an exit code.

``docs/exit-codes.md`` is the public form of :data:`EXIT_CODES`.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import typer

from imprint.cli.output import note
from imprint.errors import (
    AccessError,
    ConflictError,
    ImprintError,
    InputError,
    KeyStoreError,
    LedgerError,
    PassphraseError,
    RefusedError,
    StorageError,
    UnitError,
    WorkspaceError,
)

DONE: Final = 0
DEFECT: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, as a shell has it
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE

EXIT_CODES: Final[dict[type[ImprintError], int]] = {
    InputError: 3,
    RefusedError: 4,
    ConflictError: 5,
    WorkspaceError: 6,
    PassphraseError: 7,
    KeyStoreError: 8,
    StorageError: 9,
    LedgerError: 10,
    UnitError: 11,
    AccessError: 12,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is said about an error. ``rule`` is a refusal's code (:mod:`imprint.protocol.refusals`)."""

    kind: str
    what: str
    subject: str = ""
    next_step: str = ""
    rule: str = ""
    exit_code: int

    def say(self, *, as_json: bool) -> None:
        """To stderr: sentences, or ``{"error": {...}}`` on one line."""
        if as_json:
            fields = {name: getattr(self, name) for name in self.__slots__}
            sys.stderr.write(json.dumps({"error": fields}) + "\n")
        else:
            note(": ".join(part for part in ("imprint", self.subject, self.what) if part))
            if self.next_step:
                note(self.next_step)


def exit_code_of(command: Callable[[], None], *, as_json: bool) -> int:
    """Run a command, report how it failed, and return the program's exit code. Nothing is raised."""
    try:
        command()
        sys.stdout.flush()
        return DONE
    except typer.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:
        return PIPE_CLOSED
    except (KeyboardInterrupt, typer.Abort):
        if sys.stderr.isatty():
            note("")  # the terminal has just shown ^C
        report = Report(kind="Interrupted", what="interrupted", exit_code=INTERRUPTED)
    except Exception as error:
        report = describe(error)
        if report.exit_code == DEFECT and os.environ.get("IMPRINT_TRACEBACK") == "1":
            traceback.print_exception(error)
    finally:
        _give_up_unwritable_stdout()
    report.say(as_json=as_json)
    return report.exit_code


def _give_up_unwritable_stdout() -> None:
    """The interpreter flushes stdout at exit, and would complain again about a reader that has gone or a full disk."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def describe(error: Exception) -> Report:
    """What to say about an error. Of one that nobody foresaw only the kind is told: its message may hold anything."""
    kind = type(error).__name__
    if isinstance(error, ImprintError):
        code = next((EXIT_CODES[known] for known in type(error).__mro__ if known in EXIT_CODES), DEFECT)
        rule = error.code if isinstance(error, RefusedError) else ""
        return Report(
            kind=kind, what=error.what, subject=error.subject, next_step=error.next_step, rule=rule, exit_code=code
        )
    if isinstance(error, typer.TyperException):
        return Report(kind="UsageError", what=error.format_message(), next_step="See imprint --help", exit_code=USAGE)
    if isinstance(error, OSError):
        return Report(
            kind=kind,
            what=error.strerror or kind,
            subject=str(error.filename or ""),
            exit_code=EXIT_CODES[StorageError],
        )
    return Report(
        kind=kind,
        what=f"a defect in Imprint ({kind})",
        next_step="IMPRINT_TRACEBACK=1 shows where; please report it",
        exit_code=DEFECT,
    )
