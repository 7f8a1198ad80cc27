"""More than one hand on a lot: two stations, two windows of one station, more units than the grant, two boards with one
hardware ID; and a station that is told to stop.
"""

import json
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from line_check import disagreements
from production_line import Line, error_of, make_line, run, served, statuses, units_of


def start(command: list[str], sigint: signal.Handlers = signal.SIG_DFL) -> subprocess.Popen[str]:
    """A station. Tests that run in the background of a shell ignore SIGINT, and so would it without ``sigint``."""
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, sigint),  # noqa: PLW1509 - these tests have no threads
    )


def end(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    output, errors = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def wait_for_lines(line: Line, process: subprocess.Popen[str], lines: int) -> None:
    """Until a station's journal has so many lines."""
    while not line.journal().exists() or line.journal().read_bytes().count(b"\n") < lines:
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)


def refusals(line: Line) -> list[dict[str, Any]]:
    """What the ledger holds of the authority's refusals, opened."""
    with sqlite3.connect(f"file:{line.workspace}/imprint.db?mode=ro", uri=True) as database:
        rows = database.execute("SELECT data, opening FROM entries ORDER BY seq").fetchall()
    database.close()
    opened = [(json.loads(data), json.loads(opening)) for data, opening in rows]
    return [opening["private"] for data, opening in opened if data["type"] == "request.refused"]


def unit_rows(line: Line) -> dict[str, dict[str, Any]]:
    """The authority's units by hardware ID."""
    with sqlite3.connect(f"file:{line.workspace}/imprint.db?mode=ro", uri=True) as database:
        database.row_factory = sqlite3.Row
        rows = [dict(row) for row in database.execute("SELECT * FROM units")]
    database.close()
    return {row["hardware_id"]: row for row in rows}


def test_two_stations_share_a_lot(tmp_path: Path) -> None:
    line = make_line(tmp_path, count=16)
    with served(line.bench, 16):
        stations = [
            start(line.station(units, name=name)) for name, units in (("east", range(8)), ("west", range(8, 16)))
        ]
        done = [end(station) for station in stations]
    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    assert statuses(done[0]) + statuses(done[1]) == ["complete"] * 16
    assert {row["station"] for row in unit_rows(line).values()} == {"east", "west"}
    assert disagreements(line, finished=True) == []


def test_two_stations_at_the_end_of_a_grant(tmp_path: Path) -> None:
    """12 units, 10 places: whoever asks last is refused, at whichever station."""
    line = make_line(tmp_path, count=10)
    with served(line.bench, 12):
        stations = [
            start(line.station(units, name=name)) for name, units in (("east", range(6)), ("west", range(6, 12)))
        ]
        done = [end(station) for station in stations]
    seen = statuses(done[0]) + statuses(done[1])
    assert sorted(seen) == ["complete"] * 10 + ["refused"] * 2
    assert disagreements(line, finished=True) == []


def test_one_station_in_two_windows(tmp_path: Path) -> None:
    line = make_line(tmp_path, count=8)
    with served(line.bench, 8):
        first = start(line.station(range(4)))
        wait_for_lines(line, first, 1)
        first.send_signal(signal.SIGSTOP)  # so that it holds its journal for long enough
        second = run(line.station(range(4, 8)))
        first.send_signal(signal.SIGCONT)
        error = error_of(second)
        assert (error["kind"], error["exit_code"]) == ("ConflictError", 5)
        assert "another station process" in error["what"]
        assert error["next_step"]
        assert statuses(end(first)) == ["complete"] * 4
    assert disagreements(line, finished=True) == []


def test_25_units_are_asked_of_a_lot_of_24(tmp_path: Path) -> None:
    line = make_line(tmp_path, count=24)
    with served(line.bench, 25):
        done = run(line.station(range(25)))
    assert error_of(done)["exit_code"] == 11
    assert sorted(statuses(done)) == ["complete"] * 24 + ["refused"]
    (refused,) = [unit for unit in units_of(done) if unit["status"] == "refused"]
    assert "all 24 units of lot L1 are taken" in refused["message"]
    assert [one["code"] for one in refusals(line)] == ["grant-used-up"]
    assert refused["hardware_id"] not in unit_rows(line)
    assert disagreements(line, finished=True) == []


def test_one_hardware_id_on_two_fixtures_at_once(tmp_path: Path) -> None:
    line = make_line(tmp_path, count=4)
    with served(line.bench, 4, "1=clone=0"):
        done = run(line.station(range(4)))
    assert done.returncode == 11
    twins, others = units_of(done)[:2], units_of(done)[2:]
    assert twins[0]["hardware_id"] == twins[1]["hardware_id"]
    assert "refused" in {unit["status"] for unit in twins}
    assert "complete" not in {unit["status"] for unit in twins}
    assert any("both are suspect now" in unit["message"] for unit in twins)
    assert [unit["status"] for unit in others] == ["complete"] * 2
    (claim,) = [one for one in refusals(line) if one["code"] == "already-claimed"]
    assert claim["contested"]["hardware_id"] == twins[0]["hardware_id"]
    row = unit_rows(line)[twins[0]["hardware_id"]]
    assert row["contested"] == 1, "the clone may have come first"
    assert run([*line.program, "-C", str(line.workspace), "lot", "report", "L1"]).stdout.count(row["serial"]) == 1


def test_one_key_in_two_units(tmp_path: Path) -> None:
    """Two boards of one broken generator: whoever is certified second is refused, and the first is suspect."""
    line = make_line(tmp_path, count=2)
    key = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-outform", "DER"],
        check=True,
        capture_output=True,
    ).stdout
    for unit in ("0", "1"):
        (line.bench / "units" / unit).mkdir(parents=True)
        (line.bench / "units" / unit / "identity.key").write_bytes(key)
    with served(line.bench, 2):
        first, second = run(line.station([0])), run(line.station([1]))
    assert statuses(first) == ["complete"]
    assert (second.returncode, statuses(second)) == (11, ["released"])
    (taken,) = [one for one in refusals(line) if one["code"] == "key-taken"]
    owner = units_of(first)[0]["hardware_id"]
    assert taken["contested"]["hardware_id"] == owner
    assert unit_rows(line)[owner]["contested"] == 1
    assert disagreements(line, finished=True) == []


@pytest.mark.parametrize(
    ("sign", "lines", "sigint"),
    [
        (signal.SIGINT, 1, signal.SIG_DFL),
        (signal.SIGINT, 60, signal.SIG_DFL),
        (signal.SIGTERM, 60, signal.SIG_DFL),
        (signal.SIGTERM, 60, signal.SIG_IGN),
    ],
)
def test_a_station_that_is_told_to_stop_goes_on_later(
    tmp_path: Path, sign: signal.Signals, lines: int, sigint: signal.Handlers
) -> None:
    line = make_line(tmp_path, count=6)
    with served(line.bench, 6):
        station = start(line.station(range(6)), sigint)
        wait_for_lines(line, station, lines)
        station.send_signal(sign)
        stopped = end(station)
        assert stopped.returncode == 130, stopped.stderr
        error = error_of(stopped)
        assert (error["kind"], stopped.stdout) == ("Interrupted", "")
        assert disagreements(line, finished=False) == [], "all is under a checkpoint"
        assert set(statuses(run(line.station(range(6))))) <= {"complete", "already-complete"}
    assert disagreements(line, finished=True) == []
