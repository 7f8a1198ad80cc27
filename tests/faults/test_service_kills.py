"""``kill -9`` of the service and of two stations on other machines than it, at random moments; the line goes on."""

import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from line_check import disagreements
from production_line import IMPRINT, LONG, Line, make_line, run, seed_of_today, served, statuses, units_of
from service_line import free_ports, serving

GOOD = {"complete", "already-complete"}
PATIENCE_S = 240


def station(line: Line, folder: Path, units: Sequence[int], *more: str) -> list[str]:
    """The command of a station that enrolled in ``folder``."""
    fixtures = [text for unit in units for text in ("--fixture", f"{line.bench}/{unit}")]
    passphrase = ("--passphrase-file", str(line.passphrase_file))
    return [*IMPRINT, "-C", str(folder), "station", "run", "--lot", "L1", "--json", *fixtures, *passphrase, *more]


@contextmanager
def working(commands: Sequence[Sequence[str]]) -> "Iterator[list[subprocess.Popen[str]]]":
    """Stations at work, killed in the end if they still run."""
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    try:
        yield started
    finally:
        for each in started:
            each.kill()
            each.communicate()


def test_the_service_is_killed_and_the_stations_go_on_by_themselves(tmp_path: Path) -> None:
    count, kills = (60, 20) if LONG else (16, 5)
    chance = random.Random(seed := seed_of_today())
    print(f"seed {seed}, {kills} kills of the service, {count} units on two stations")
    line = make_line(tmp_path, count=count)
    ports = free_ports(2)
    halves = [range(0, count, 2), range(1, count, 2)]
    with ExitStack() as stack, served(line.bench, count):
        with serving(line, ports=ports) as service:
            folders = [service.enrol(name) for name in ("bench-1", "bench-2")]
            commands = [station(line, *each, "--at-once", "4") for each in zip(folders, halves, strict=True)]
            stations = stack.enter_context(working(commands))
            while not all(any(folder.glob("station/*")) for folder in folders):
                assert all(each.poll() is None for each in stations)
                time.sleep(0.005)
            service.process.kill()
            service.process.wait()
        at_work = 0
        for _ in range(kills):
            with serving(line, ports=ports) as service:
                time.sleep(chance.uniform(0.02, 0.4))
                at_work += any(each.poll() is None for each in stations)
                service.process.kill()
                service.process.wait()
        with serving(line, ports=ports):
            ended = [each.communicate(timeout=PATIENCE_S) for each in stations]
    done = [
        subprocess.CompletedProcess(each.args, each.returncode, *said)
        for each, said in zip(stations, ended, strict=True)
    ]
    for each in done:
        assert set(statuses(each)) == {"complete"}, each.stderr
    assert at_work >= kills // 2, "kills that hit nothing prove nothing"
    assert disagreements(line, finished=True) == []


def test_stations_are_killed_and_go_on(tmp_path: Path) -> None:
    count, kills = (60, 30) if LONG else (12, 6)
    chance = random.Random(seed := seed_of_today())
    print(f"seed {seed}, {kills} kills of stations, {count} units")
    line = make_line(tmp_path, count=count)
    with serving(line) as service, served(line.bench, count):
        folders = [service.enrol(name) for name in ("bench-1", "bench-2")]
        halves = [range(0, count, 2), range(1, count, 2)]
        landed = 0
        for number in range(kills):
            which = number % 2
            some = chance.sample(list(halves[which]), k=4)
            with working([station(line, folders[which], some)]) as (process,):
                time.sleep(chance.uniform(0.9, 1.8))
                landed += process.poll() is None
        print(f"{landed} at work")
        for folder, units in zip(folders, halves, strict=True):
            assert set(statuses(run(station(line, folder, list(units))))) <= GOOD
    assert disagreements(line, finished=True) == []


def test_a_unit_of_a_station_that_died_goes_on_at_another(tmp_path: Path) -> None:
    """The unit proves that it is on the second bench, which finishes it. What the dead one asks when it comes back is
    refused."""
    line = make_line(tmp_path, count=2)
    with serving(line) as service, served(line.bench, 1):
        one, two = (service.enrol(name) for name in ("bench-1", "bench-2"))
        journal = one / "station" / "bench-1.journal"
        with working([station(line, one, [0])]) as (process,):
            while not journal.exists() or b'"kind":"certified"' not in journal.read_bytes().replace(b"\\", b""):
                assert process.poll() is None
                time.sleep(0.001)
            process.kill()
        later = run(station(line, two, [0]))
        assert statuses(later) == ["complete"], [unit["message"] for unit in units_of(later)]
        late = run(station(line, one, [0]))
        assert statuses(late) == ["failed"], late.stdout
    assert disagreements(line, finished=True) == []
