"""The ``imprint`` command: one module a noun, loaded when it is used, so that ``imprint --help`` stays quick.

A noun's module has an ``app``, a :class:`typer.Typer` made with ``add_completion=False``. Commands return when they
succeeded and raise an :class:`imprint.errors.ImprintError` when not; :mod:`imprint.cli.errors` does the rest.
"""

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from imprint.cli.errors import exit_code_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """``imprint <name>``. ``has_verbs``: a group of commands, as ``imprint lot create``; else one command."""

    name: str
    summary: str
    has_verbs: bool = True

    @property
    def module(self) -> str:
        """Where its ``app`` is."""
        return f"imprint.cli.{self.name}"


NOUNS: Final = (
    Noun(name="demo", summary="Run a whole production line of virtual units in a fresh folder", has_verbs=False),
    Noun(name="init", summary="Make a workspace: settings, database and keys", has_verbs=False),
    Noun(name="doctor", summary="Check ports, permissions, clock, disk and versions", has_verbs=False),
    Noun(name="product", summary="The device types that you make"),
    Noun(name="release", summary="Signed firmware that may ship"),
    Noun(name="recipe", summary="The steps for a product: those that ship, and a check for yours"),
    Noun(name="lot", summary="Production orders: create, watch, report, close, export"),
    Noun(name="serve", summary="The authority as a service, over HTTPS with mutual TLS", has_verbs=False),
    Noun(name="account", summary="Who may use the service: invite, list, suspend, resume"),
    Noun(name="station", summary="The bench: enrol it, imprint the units on its fixtures"),
    Noun(name="unit", summary="Single units: show, verify, scrap, revoke, rework"),
    Noun(name="crl", summary="The list of revoked certificates: sign, show"),
    Noun(name="ledger", summary="The log of all that was decided: verify, prove, check-point"),
    Noun(name="backup", summary="Copy the workspace while it is at work", has_verbs=False),
    Noun(name="restore", summary="Make a workspace from a backup", has_verbs=False),
    Noun(name="record", summary="Birth records: show and verify"),
    Noun(name="virtual", summary="Serve units that are made of software", has_verbs=False),
)


class NounGroup(TyperGroup):
    """The nouns. Their names and summaries are known; the module of one is imported when its command runs."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for noun in NOUNS:
            self.add_command(TyperCommand(noun.name, help=noun.summary))

    # typer keeps the types of these values to itself.
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command to run, with its module loaded."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(next(noun for noun in NOUNS if noun.name == name)), rest


def load(noun: Noun) -> Any:
    """The noun's command, from its module."""
    app: typer.Typer = import_module(noun.module).app
    command = get_group(app) if noun.has_verbs else get_command(app)
    command.name = noun.name
    return command


app = typer.Typer(cls=NounGroup, add_completion=False)

Workspace = Annotated[
    Path, typer.Option("--workspace", "-C", metavar="DIR", envvar="IMPRINT_HOME", help="The workspace to work in")
]


@app.callback(invoke_without_command=True)
def imprint(ctx: typer.Context, workspace: Workspace = Path()) -> None:
    """Secure device provisioning: identity, firmware, lock and birth record for every unit that you make."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help(), nl=False)
    ctx.obj = workspace.expanduser()


def workspace_folder(ctx: typer.Context) -> Path:
    """The folder of the workspace: ``-C``, else ``IMPRINT_HOME``, else the current one. It need not exist."""
    folder: Path = ctx.obj
    return folder


def run(args: Sequence[str]) -> None:
    """One command line, without the program's name. Raises what the command raises."""
    command = get_command(app)
    with command.make_context("imprint", list(args)) as ctx:
        command.invoke(ctx)


def main() -> None:
    """The program: runs its command line, reports an error, exits. SIGTERM stops it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _stop)
    args = sys.argv[1:]
    sys.exit(exit_code_of(lambda: run(args), as_json="--json" in args))


def _stop(*_: object) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for its jobs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)
