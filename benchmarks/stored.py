"""Certifications a second with many units stored, against the same with few, in one run.

The stored units are rows like those of a real one, written in bulk: as many entries, requests, documents and index rows
as a unit leaves behind, with keys all over each index. What a ledger of them would verify is not asked here.

Run: ``python -m benchmarks.stored [FEW MANY ...]``; the default is 10,000 and 200,000. Two million take some 20 GB.
"""

import asyncio
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop

from benchmarks.authority import PASSPHRASE, ready_unit
from benchmarks.service import Rate, connect, make, serving
from imprint.assemble import open_platform
from imprint.testing.soft_station import SoftStation

COUNTS: Final = (10_000, 200_000)
ROUNDS: Final = 5
CHUNK: Final = 20_000
OF_A_UNIT: Final = (
    "units",
    "assignments",
    "given_values",
    "certificates",
    "public_keys",
    "requests",
    "blobs",
    "entries",
)

Rows = Mapping[str, list[dict[str, Any]]]


def fill(folder: Path, count: int) -> None:
    """Make one unit in the ordinary way, and then ``count`` like it in bulk."""
    database = folder / "ws" / "imprint.db"
    before = _rows(database)
    with open_platform(folder / "ws", lambda: PASSPHRASE) as platform:
        port = platform.station("filler")
        asyncio.run(_imprint_one(port))
    after = _rows(database)
    pattern = {table: [row for row in after[table] if row not in before[table]] for table in OF_A_UNIT}
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for start in range(0, count, CHUNK):
            connection.execute("BEGIN")
            for number in range(start, min(start + CHUNK, count)):
                _write(connection, pattern, number, count)
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with open_platform(folder / "ws", lambda: PASSPHRASE) as platform:
        platform.checkpoint()


async def _imprint_one(port: Any) -> None:
    await SoftStation(port, await port.lot("L"), prefix="f").imprint(ready_unit())


def _rows(database: Path) -> dict[str, list[dict[str, Any]]]:
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return {table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")] for table in OF_A_UNIT}


def _write(connection: sqlite3.Connection, pattern: Rows, number: int, count: int) -> None:
    for table, rows in pattern.items():
        for at, row in enumerate(rows):
            changed = dict(_changed(row, number, count, at))
            if table == "entries":
                changed["seq"] = None
            marks = ", ".join("?" * len(changed))
            connection.execute(f"INSERT INTO {table} ({', '.join(changed)}) VALUES ({marks})", [*changed.values()])


def _changed(row: Mapping[str, Any], number: int, count: int, at: int) -> Iterator[tuple[str, Any]]:
    """The row as this unit's: each key spread evenly over its index, and in order, so that writing it is quick."""
    for name, value in row.items():
        if isinstance(value, str) and len(value) in (16, 32, 64) and set(value) <= set("0123456789abcdef"):
            digits = len(value)
            yield name, f"{(number * 16**digits // count) + at:0{digits}x}"
        elif name in ("serial", "value", "request_id"):
            yield name, f"{value}-{number:09d}"
        elif isinstance(value, bytes):
            yield name, os.urandom(8) + value[8:]
        else:
            yield name, value


def main() -> None:
    """Fill, serve all of them side by side, and measure them by turns."""
    counts = tuple(int(each) for each in sys.argv[1:]) or COUNTS
    build = Path("build")  # not in memory, where a temporary folder may be
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build) as name, ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        served = {}
        for count in counts:
            folder = Path(name) / str(count)
            folder.mkdir()
            make(folder)
            fill(folder, count)
            served[count] = (folder, *stack.enter_context(serving(folder)))
            size = (folder / "ws" / "imprint.db").stat().st_size
            print(f"{count:9,} units stored: {size / 1e9:.2f} GB", flush=True)
        loads = {count: runner.run(connect(*each)) for count, each in served.items()}
        found: dict[int, list[Rate]] = {count: [] for count in counts}
        for _ in range(ROUNDS):
            for count, load in loads.items():
                found[count].append(runner.run(load.certifications()))
    few = median(rate.per_second for rate in found[counts[0]])
    for count, rates in found.items():
        speeds = sorted(rate.per_second for rate in rates)
        ratios = sorted(one.per_second / first.per_second for one, first in zip(rates, found[counts[0]], strict=True))
        print(
            f"{count:9,} stored: {median(speeds):6,.0f} certifications/s ({speeds[0]:,.0f} to {speeds[-1]:,.0f}), "
            f"{median(speeds) / few:4.0%} of the first; round by round {median(ratios):4.0%}"
        )


if __name__ == "__main__":
    main()
