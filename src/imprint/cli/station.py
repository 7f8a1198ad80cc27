"""``imprint station``: the bench. Enrols it; takes the units on its fixtures through a lot's recipe."""

import asyncio
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from imprint.assemble import Platform
from imprint.cli import workspace_folder
from imprint.cli.enrolment import InvitationFile, NewFolder, Url, enrol_folder
from imprint.cli.line_view import LineView, outcome_rows
from imprint.cli.output import Json, note, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.workspace_access import deciding, read_key_passphrase
from imprint.clock import Clock, system_clock
from imprint.enrol import is_enrolled, open_enrolled
from imprint.errors import InputError, UnitError
from imprint.https import client_tls
from imprint.make_checkpoints import making_checkpoints
from imprint.protocol.enrolment import NAME
from imprint.protocol.port import AuthorityPort
from imprint.station.fixture import DEFAULT_BAUD, Fixture
from imprint.station.journal import open_journal
from imprint.station.remote_authority import RemoteAuthority
from imprint.station.run_event import GOOD, RunOutcome
from imprint.station.runner import run_fixtures

app = typer.Typer(add_completion=False, no_args_is_help=True)

MOST_AT_ONCE = 64
_STATION = re.compile(NAME)


@app.callback()
def station() -> None:
    """The bench: enrol it, imprint the units on its fixtures."""


@app.command()
def enrol(
    url: Url,
    folder: NewFolder,
    invitation_file: InvitationFile = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Get a certificate from an authority for an invitation.

    The key is made here and never leaves this machine. When it is broken off, run it again with the same folder.

    Example: imprint station enrol https://authority.example:8444 --dir ./bench-1
    """
    enrol_folder(
        url,
        folder,
        invitation_file=invitation_file,
        passphrase_file=passphrase_file,
        passphrase_fd=passphrase_fd,
        as_json=as_json,
    )


@app.command()
def run(
    ctx: typer.Context,
    lot: Annotated[str, typer.Option("--lot", metavar="LOT", help="The lot to work on")],
    fixture: Annotated[
        list[str],
        typer.Option(metavar="PORT[=LABEL]", help="A serial port with a unit, and its scanned label; repeat for more"),
    ],
    station: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="This station's name, in a workspace", show_default="this machine's"),
    ] = None,
    at_once: Annotated[int, typer.Option(metavar="N", min=1, max=MOST_AT_ONCE, help="Fixtures at work at once")] = 16,
    baud: Annotated[int, typer.Option(metavar="RATE", min=1200, help="Of the serial ports")] = DEFAULT_BAUD,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Imprint the unit on each fixture. A unit whose run was broken off goes on where it was.

    -C names a workspace, whose authority then works in this process, or an enrolled folder, whose authority is asked
    over the network. While it does not answer, units in work wait for it, and no new one begins.

    Example: imprint station run --lot 2026-11 --fixture /dev/ttyUSB0 --fixture /dev/ttyUSB1
    """
    fixtures = [_fixture(text, baud) for text in fixture]
    _refuse_one_port_twice(fixtures)
    folder = workspace_folder(ctx)
    if is_enrolled(folder):
        secret = read_key_passphrase(folder, passphrase_file, passphrase_fd)
        name, outcomes = _run_enrolled(folder, lot, fixtures, station, at_once, as_json, secret)
    else:
        name = _name(station)
        with deciding(ctx, passphrase_file, passphrase_fd) as platform:
            outcomes = run_station(platform, lot=lot, fixtures=fixtures, station=name, at_once=at_once, quiet=as_json)
    result: dict[str, Any] = {"lot": lot, "station": name, "units": outcome_rows(outcomes)}
    if as_json:
        show(result, as_json=True)
    bad = sum(outcome.status not in GOOD for outcome in outcomes)
    if bad:
        raise UnitError(
            f"{bad} of {len(outcomes)} units did not get through",
            subject=f"lot {lot}",
            next_step=f"See 'imprint lot report {lot}'; a unit whose run was broken off goes on when it is run again",
        )


def _name(station: str | None) -> str:
    name = station or socket.gethostname().split(".")[0]
    if not _STATION.fullmatch(name):
        raise InputError(
            "a station's name has 1 to 41 letters, digits, dots, dashes and underscores", subject=repr(name)
        )
    return name


def _run_enrolled(
    folder: Path,
    lot: str,
    fixtures: Sequence[Fixture],
    station: str | None,
    at_once: int,
    quiet: bool,
    passphrase: bytes,
) -> tuple[str, list[RunOutcome]]:
    """Work with an authority on another machine."""
    enrolled = open_enrolled(folder)
    if station not in (None, enrolled.name):
        raise InputError(f"this folder is enrolled as {enrolled.name}", subject=f"--station {station}")
    tls = client_tls(folder, passphrase)

    async def work() -> list[RunOutcome]:
        async with RemoteAuthority(enrolled.url, tls) as port:
            return await _work(
                port,
                lot=lot,
                fixtures=fixtures,
                station=enrolled.name,
                at_once=at_once,
                quiet=quiet,
                journal_path=enrolled.journal(),
                clock=system_clock,
            )

    return enrolled.name, asyncio.run(work())


def run_station(
    platform: Platform, *, lot: str, fixtures: Sequence[Fixture], station: str, at_once: int, quiet: bool
) -> list[RunOutcome]:
    """Work on the fixtures with the authority in this process, under checkpoints made as it goes."""

    work = _work(
        platform.station(station),
        lot=lot,
        fixtures=fixtures,
        station=station,
        at_once=at_once,
        quiet=quiet,
        journal_path=platform.reader.workspace.journal(station),
        clock=platform.clock,
    )
    with making_checkpoints(platform, _tell_no_checkpoint):
        return asyncio.run(work)


async def _work(
    port: AuthorityPort,
    *,
    lot: str,
    fixtures: Sequence[Fixture],
    station: str,
    at_once: int,
    quiet: bool,
    journal_path: Path,
    clock: Clock,
) -> list[RunOutcome]:
    package = await port.lot(lot)
    with open_journal(journal_path) as journal, LineView(total=len(fixtures), quiet=quiet) as view:
        return await run_fixtures(
            station=station,
            port=port,
            package=package,
            fixtures=fixtures,
            at_once=at_once,
            journal=journal,
            clock=clock,
            on_event=view.take,
        )


def _tell_no_checkpoint(problem: Exception) -> None:
    note(f"No checkpoint could be made: {problem}")


def _fixture(text: str, baud: int) -> Fixture:
    port, equals, label = text.partition("=")
    if not Path(port).exists():
        raise InputError("there is no such port", subject=port, next_step="Is the board plugged in and powered?")
    return Fixture(name=port, port=port, scanned_serial=label if equals else None, baud=baud)


def _refuse_one_port_twice(fixtures: Sequence[Fixture]) -> None:
    seen = set[Path]()
    for fixture in fixtures:
        port = Path(fixture.port).resolve()
        if port in seen:
            raise InputError("this port is named twice", subject=fixture.port, next_step="Give each fixture its own")
        seen.add(port)
