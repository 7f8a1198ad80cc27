"""A bench dies at its work, and its units are finished at another one: real stations, real virtual units."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from station_line import LOT, authority, run_line, virtual_units

from imprint.assemble import Platform
from imprint.authority.decisions.changes import Row
from imprint.errors import AccessError
from imprint.formats.mcuboot import parse
from imprint.formats.provisioning_group import KeyAlgorithm
from imprint.protocol.answers import Answer
from imprint.protocol.intentions import Intention
from imprint.protocol.port import AuthorityPort, LotPackage
from imprint.reader import open_reader
from imprint.station.fixture import Fixture
from imprint.station.journal import open_journal
from imprint.station.run_event import RunOutcome, Status
from imprint.station.targets.smp import SmpTarget
from imprint.verify_ledger import verify_ledger

# A station that is killed as it enters a step; its authority is in its process, and dies with it.
DYING = """
import asyncio, os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from station_line import authority, run_line
from imprint.station.fixture import Fixture
from imprint.station.journal import open_journal
from imprint.station.run_event import Status
folder = Path({folder!r})
class Events(list):
    def append(self, event):
        if event.step == {step!r} and event.status is Status.WORKING:
            os.kill(os.getpid(), signal.SIGKILL)
with authority(folder / "W") as platform, open_journal(folder / {name!r}) as journal:
    fixtures = [Fixture(name="0", port={port!r})]
    asyncio.run(run_line(platform, journal, fixtures, port=platform.station({name!r}), events=Events()))
"""


def die_at(step: str, folder: Path, unit: dict[str, Any], name: str = "A") -> None:
    tests = str(Path(__file__).parent)
    program = DYING.format(tests=tests, folder=str(folder), step=step, port=unit["port"], name=name)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def work(
    platform: Platform, folder: Path, name: str, unit: dict[str, Any], port: AuthorityPort | None = None
) -> RunOutcome:
    """The unit at the station of this name, which has a journal of its own."""
    with open_journal(folder / name) as journal:
        fixture = Fixture(name=str(unit["unit"]), port=unit["port"])
        (outcome,) = asyncio.run(run_line(platform, journal, [fixture], port=port or platform.station(name)))
    return outcome


def row_of(platform: Platform, unit: dict[str, Any]) -> Row:
    with platform.reader.store.reading() as store:
        return store.find("units", hardware_id=unit["hardware_id"])[-1]


def lot_row(platform: Platform) -> Row:
    with platform.reader.store.reading() as store:
        (row,) = store.find("lots", lot=LOT)
    return row


@pytest.mark.parametrize("step", ["write-certificate", "lock-debug", "power-cycle", "complete"])
def test_a_unit_of_a_station_that_died_is_finished_at_another(tmp_path: Path, step: str) -> None:
    """Killed before the certificate is in the unit, before and after the lock, and before the record."""
    with virtual_units(tmp_path / "V", 1) as units:
        with authority(tmp_path / "W", count=1):
            pass
        die_at(step, tmp_path, units[0])
        with authority(tmp_path / "W") as platform:
            before = row_of(platform, units[0])
            assert (before["state"] in ("certified", "permitted"), before["station"]) == (True, "A")
            outcome = work(platform, tmp_path, "B", units[0])
            assert outcome.status is Status.COMPLETE, outcome.message
            after = row_of(platform, units[0])
            assert (after["state"], after["station"], after["fence"]) == ("complete", "B", before["fence"] + 1)
            assert (after["certificate"], after["contested"]) == (before["certificate"], 0)
            lot = lot_row(platform)
            assert (lot["shipped"], lot["in_work"]) == (1, 0)
        verify_ledger(open_reader(tmp_path / "W"))


def test_a_station_that_comes_back_is_told_and_lets_go(tmp_path: Path) -> None:
    """It still has the unit's run open. While the unit is half way through elsewhere its request is stale, and the run
    ends; in the next one it takes the unit back, since that is there again and says so."""
    with virtual_units(tmp_path / "V", 1) as units:
        with authority(tmp_path / "W", count=1):
            pass
        die_at("lock-debug", tmp_path, units[0], "A")
        die_at("lock-debug", tmp_path, units[0], "B")
        with authority(tmp_path / "W") as platform:
            assert (row_of(platform, units[0])["station"], row_of(platform, units[0])["fence"]) == ("B", 2)
            late = work(platform, tmp_path, "A", units[0])
            assert (late.status, late.step) == (Status.FAILED, "lock-debug")
            assert "is held by another claim" in late.message
            assert (row_of(platform, units[0])["fence"], row_of(platform, units[0])["contested"]) == (2, 0)
            outcome = work(platform, tmp_path, "A", units[0])
            assert outcome.status is Status.COMPLETE, outcome.message
            assert row_of(platform, units[0])["fence"] == 3
            assert work(platform, tmp_path, "B", units[0]).status is Status.FAILED
            assert lot_row(platform)["shipped"] == 1


@pytest.mark.parametrize("fresh", [True, False])
def test_a_clone_of_a_unit_in_work_is_refused_and_both_are_suspect(tmp_path: Path, fresh: bool) -> None:
    """A board as it comes, which can sign nothing, and one that has a key of its own."""
    with virtual_units(tmp_path / "V", 2, "--fault", "1=clone=0") as units:
        with authority(tmp_path / "W") as platform:
            package = asyncio.run(platform.station("elsewhere").lot(LOT))
        if not fresh:
            asyncio.run(give_a_key(units[1]["port"], package))
        die_at("lock-debug", tmp_path, units[0])
        with authority(tmp_path / "W") as platform:
            outcome = work(platform, tmp_path, "B", units[1])
            assert (outcome.status, outcome.step) == (Status.REFUSED, "claim")
            assert "both are suspect now" in outcome.message
            row = row_of(platform, units[0])
            assert (row["contested"], row["station"], row["fence"]) == (1, "A", 1)
            assert work(platform, tmp_path, "C", units[0]).status is Status.REFUSED, "until an officer has looked"


async def give_a_key(port: str, package: LotPackage) -> None:
    """A board that runs the lot's firmware and has made a key."""
    target = SmpTarget(port, baud=115200)
    await target.open()
    try:
        await target.fuse_boot_key(package.boot_key)
        await target.upload(package.firmware, lambda _: None)
        await target.mark_pending(parse(package.firmware).image_hash)
        boots = (await target.identify()).boots
        await target.reset()
        await target.await_boot(boots)
        await target.make_key(KeyAlgorithm.P256)
    finally:
        await target.close()


class Cut:
    """An authority that shuts a station out just after it has decided a question of this kind."""

    def __init__(self, port: AuthorityPort, kind: str) -> None:
        self._port = port
        self._kind = kind

    async def ask(self, request_id: str, intention: Intention) -> Answer:
        answer = await self._port.ask(request_id, intention)
        if intention.kind == self._kind:
            raise AccessError("this station may not ask now")
        return answer

    async def is_valid(self, certificate: bytes) -> bool:
        return await self._port.is_valid(certificate)

    async def lot(self, lot: str) -> LotPackage:
        return await self._port.lot(lot)


@pytest.mark.parametrize("kind", ["claim", "take-over"])
def test_a_take_over_that_is_broken_off_goes_on(tmp_path: Path, kind: str) -> None:
    """After the challenge or after the proof: the same run asks the same questions, and the unit is taken over once."""
    with virtual_units(tmp_path / "V", 1) as units:
        with authority(tmp_path / "W", count=1):
            pass
        die_at("lock-debug", tmp_path, units[0])
        with authority(tmp_path / "W") as platform:
            cut = work(platform, tmp_path, "B", units[0], Cut(platform.station("B"), kind))
            assert (cut.status, cut.step) == (Status.INTERRUPTED, "claim")
            outcome = work(platform, tmp_path, "B", units[0])
            assert (outcome.status, outcome.run) == (Status.COMPLETE, cut.run)
            assert row_of(platform, units[0])["fence"] == 2
