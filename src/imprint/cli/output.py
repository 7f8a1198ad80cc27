"""Results: tables for people, one JSON object for machines."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from rich.table import Table

_HASH: Final = re.compile(r"(?<![\w-])[0-9a-f]{64}(?![\w-])")
_SHORT_HASH: Final = 16  # digits: enough to tell two apart by eye

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of tables")]


def show(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Write a result to stdout: one JSON object on one line, or its fields and tables.

    Values are what JSON has. A list of mappings becomes a table named after its key; a mapping in a mapping becomes
    fields with dotted names. People see control characters as escapes, so that a label can't steer their terminal;
    in a terminal's tables a SHA-256 is cut to its first digits, so that its row stays a row.
    """
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 10_000  # a pipe has no edge to wrap at
    fields = [row for row in _flat(result) if not _is_table(row[1])]
    if fields:
        console.print(_fields_table(fields))
    for name, rows in _flat(result):
        if _is_table(rows):
            console.print(_rows_table(name, rows, _short if console.is_terminal else printable))


def note(text: str) -> None:
    """Say something to the person in front of the screen, on stderr: stdout is for results."""
    sys.stderr.write(_one_line(text) + "\n")


def note_replayed(done: int) -> None:
    """Tell a person who waits for a replay how many entries are done, now and then."""
    if done and done % 20_000 == 0 and sys.stderr.isatty():
        note(f"{done} entries replayed")


def printable(value: object) -> str:
    """A value in one line without control characters; escapes stand in for them."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(printable, value)) or "-"
    return _one_line(str(value))


def _short(value: object) -> str:
    return _HASH.sub(lambda found: f"{found[0][:_SHORT_HASH]}…", printable(value))


def _one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _flat(result: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in result.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, value)]
    return rows


def _is_table(value: object) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(row, Mapping) for row in value)


def _fields_table(fields: Sequence[tuple[str, Any]]) -> "Table":
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in fields:
        table.add_row(_words(name), printable(value))
    return table


def _rows_table(name: str, rows: Sequence[Mapping[str, Any]], cell: Callable[[object], str]) -> "Table":
    from rich.table import Table

    table = Table(box=None, title=_words(name), title_justify="left", pad_edge=False)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for column in columns:
        numbers = all(type(row.get(column)) is int for row in rows)
        table.add_column(_words(column), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(column)) for column in columns))
    return table


def _words(name: str) -> str:
    return _one_line(name.replace("_", " "))
