"""A production line on the screen: one row a fixture while it works, and a table of outcomes at the end."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from imprint.cli.output import note, printable
from imprint.station.run_event import GOOD, RunEvent, RunOutcome, Status

_STYLES = {
    Status.COMPLETE: "green",
    Status.ALREADY_COMPLETE: "green",
    Status.REFUSED: "red",
    Status.RELEASED: "yellow",
    Status.QUARANTINED: "red",
    Status.FAILED: "red",
    Status.INTERRUPTED: "yellow",
}


class LineView:
    """A live table on a terminal's stderr; elsewhere a line for each unit that is done. Use it as a context."""

    def __init__(self, *, total: int, quiet: bool = False) -> None:
        self._total = total
        self._quiet = quiet
        self._rows: dict[str, RunEvent] = {}
        self._done: dict[Status, int] = {}
        self._is_waiting = False
        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None

    def __enter__(self) -> "LineView":
        if self._live and not self._quiet:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live and not self._quiet:
            self._live.stop()

    def take(self, event: RunEvent) -> None:
        """Show one more event."""
        if isinstance(event, RunOutcome):
            self._done[event.status] = self._done.get(event.status, 0) + 1
            self._rows.pop(event.fixture, None)
            if not self._quiet:
                self._say(event)
        else:
            self._rows[event.fixture] = event
            self._tell_waiting(event)
        if self._live and not self._quiet:
            self._live.update(self._table())

    def _tell_waiting(self, event: RunEvent) -> None:
        """Once for the whole line when the authority is away, and once when it is back."""
        is_waiting = event.status is Status.WAITING
        if is_waiting != self._is_waiting and not self._quiet:
            self._print(f"{event.message}; units in work wait for it" if is_waiting else "the authority answers again")
        self._is_waiting = is_waiting

    def _print(self, line: str, style: str = "") -> None:
        if self._live:
            self._live.console.print(printable(line), style=style, overflow="fold")
        else:
            note(printable(line))

    def _say(self, outcome: RunOutcome) -> None:
        count = f"{sum(self._done.values()):>{len(str(self._total))}}/{self._total}"
        name = outcome.serial or outcome.hardware_id or "no unit"
        mark = "✓" if outcome.status in GOOD else "✗"
        why = "" if outcome.status is Status.COMPLETE else f"  {outcome.message}"
        self._print(
            f"{mark} {count}  {outcome.fixture}  {name}  {outcome.status}{why}", _STYLES.get(outcome.status, "")
        )

    def _table(self) -> Table:
        done = sum(self._done.values())
        table = Table(title=f"{done} of {self._total} units done", title_justify="left", box=None, pad_edge=False)
        for name in ("fixture", "unit", "step", ""):
            table.add_column(name, no_wrap=True)
        for fixture in sorted(self._rows, key=lambda name: (len(name), name)):
            event = self._rows[fixture]
            unit = event.serial or event.hardware_id or ""
            table.add_row(fixture, printable(unit), printable(event.step), printable(event.message))
        return table


def outcome_rows(outcomes: Sequence[RunOutcome]) -> list[dict[str, Any]]:
    """Outcomes as result rows."""
    return [
        {
            "fixture": outcome.fixture,
            "serial": outcome.serial,
            "hardware_id": outcome.hardware_id,
            "status": outcome.status.value,
            "message": outcome.message,
        }
        for outcome in outcomes
    ]
