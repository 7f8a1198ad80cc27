"""``imprint station``: the bench. Takes the units on its fixtures through a lot's recipe."""

import asyncio
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from imprint.assemble import Platform
from imprint.cli.line_view import LineView, outcome_rows
from imprint.cli.output import Json, show
from imprint.cli.passphrase import PassphraseFd, PassphraseFile
from imprint.cli.workspace_access import deciding
from imprint.errors import InputError, UnitError
from imprint.station.fixture import DEFAULT_BAUD, Fixture
from imprint.station.journal import open_journal
from imprint.station.run_event import GOOD, RunOutcome
from imprint.station.runner import run_fixtures

app = typer.Typer(add_completion=False, no_args_is_help=True)

CHECKPOINT_SECONDS = 5.0
MOST_AT_ONCE = 64
_STATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")


@app.callback()
def station() -> None:
    """The bench: imprint the units on its fixtures."""


@app.command()
def run(
    ctx: typer.Context,
    lot: Annotated[str, typer.Option("--lot", metavar="LOT", help="The lot to work on")],
    fixture: Annotated[
        list[str],
        typer.Option(metavar="PORT[=LABEL]", help="A serial port with a unit, and its scanned label; repeat for more"),
    ],
    station: Annotated[
        str | None, typer.Option(metavar="NAME", help="This station's name", show_default="this machine's")
    ] = None,
    at_once: Annotated[int, typer.Option(metavar="N", min=1, max=MOST_AT_ONCE, help="Fixtures at work at once")] = 16,
    baud: Annotated[int, typer.Option(metavar="RATE", min=1200, help="Of the serial ports")] = DEFAULT_BAUD,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Imprint the unit on each fixture. A unit whose run was broken off goes on where it was.

    Example: imprint station run --lot 2026-11 --fixture /dev/ttyUSB0 --fixture /dev/ttyUSB1
    """
    name = station or socket.gethostname().split(".")[0]
    if not _STATION.fullmatch(name):
        raise InputError(
            "a station's name has 1 to 41 letters, digits, dots, dashes and underscores", subject=repr(name)
        )
    fixtures = [_fixture(text, baud) for text in fixture]
    _refuse_one_port_twice(fixtures)
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


def run_station(
    platform: Platform, *, lot: str, fixtures: Sequence[Fixture], station: str, at_once: int, quiet: bool
) -> list[RunOutcome]:
    """Work on the fixtures with the authority in this process, under checkpoints made as it goes."""
    journal_path = platform.reader.workspace.journal(station)

    async def work() -> list[RunOutcome]:
        port = platform.station(station)
        package = await port.lot(lot)
        checkpoints = asyncio.create_task(_make_checkpoints(platform))
        try:
            with open_journal(journal_path) as journal, LineView(total=len(fixtures), quiet=quiet) as view:
                return await run_fixtures(
                    station=station,
                    port=port,
                    package=package,
                    fixtures=fixtures,
                    at_once=at_once,
                    journal=journal,
                    clock=platform.clock,
                    on_event=view.take,
                )
        finally:
            checkpoints.cancel()
            with suppress(asyncio.CancelledError):
                await checkpoints

    return asyncio.run(work())


async def _make_checkpoints(platform: Platform) -> None:
    """What a roll-back could hide is bounded by the time between two checkpoints."""
    while True:
        await asyncio.sleep(CHECKPOINT_SECONDS)
        await asyncio.to_thread(platform.checkpoint)


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
