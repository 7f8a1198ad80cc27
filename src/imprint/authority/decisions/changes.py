"""What an event changes in the database: rows that appear and rows that move on. Nothing is ever deleted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imprint.authority.ledger.envelope import OpenedEntry

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row. A row with the same key is an error."""

    table: str
    row: Row


@dataclass(frozen=True, slots=True)
class Update:
    """Exactly one row, named by ``key``, that must still look like ``expect``: columns are set, or added to."""

    table: str
    key: Row
    set: Row = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    expect: Row = field(default_factory=dict)


Change = Insert | Update

# What an opened entry of one type changes. Pure: used when deciding and when replaying.
ChangesOf = Callable[[OpenedEntry], list[Change]]
