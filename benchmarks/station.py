"""The station beside bare ``smpclient`` with its own serial transport, against the same virtual units, in the same run.

Uploads one image to one unit with each, in turns; then takes a whole lot of units through the typical recipe at once.
CPU is that of the measuring thread: the units run in another process, and the authority decides in threads of its own.

Run: ``python -m benchmarks.station``.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smpclient import SMPClient
from smpclient.requests.image_management import ImageErase
from smpclient.transport.serial import SMPSerialTransport

from imprint.assemble import Platform, open_platform
from imprint.authority.production.commands import DefineProduct
from imprint.authority.production.product import Product
from imprint.clock import system_clock
from imprint.make_workspace import create
from imprint.protocol.commands import AddRelease, CreateLot
from imprint.station.fixture import Fixture
from imprint.station.journal import open_journal
from imprint.station.recipe import SHIPPED
from imprint.station.run_event import RunOutcome, Status
from imprint.station.runner import run_fixtures
from imprint.station.targets.smp import SmpTarget

UNITS: Final = 25
IMAGE_KIB: Final = 250
ROUNDS: Final = 5
PASSPHRASE: Final = b"a passphrase of benchmarks"
PRODUCT: Final = b"""
product: lamp
identity:
  name: lamp-idevid
  key_algorithm: p256
  key_origin: device
  organization: Example
  hardware_type: 1.3.6.1.4.1.32473.1
serials: {made: SN-}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds by the clock, and seconds of CPU of the measuring thread."""

    wall: float
    cpu: float


@contextmanager
def units(folder: Path, count: int) -> Iterator[list[str]]:
    """Serve virtual units; yields their ports."""
    command = [sys.executable, "-m", "imprint", "virtual", "--dir", str(folder), "--count", str(count), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise AssertionError("it is a pipe")
        yield [unit["port"] for unit in json.loads(process.stdout.readline())["units"]]
    finally:
        process.terminate()
        process.wait()


@contextmanager
def platform_with_lot(folder: Path) -> Iterator[Platform]:
    """An authority with a lot ``L`` for all units."""
    create(folder, organization="Example", passphrase=PASSPHRASE, root_passphrase=PASSPHRASE)
    with open_platform(folder, lambda: PASSPHRASE) as platform:
        platform.command(DefineProduct(definition=Product.from_yaml(PRODUCT, name="product").definition()))
        for role, version in (("diagnostic", "0.9.0"), ("production", "1.0.0")):
            payload = role.encode() * (IMAGE_KIB * 1024 // len(role))
            image = platform.seal(payload, version=version, security_counter=1)
            platform.command(AddRelease(product="lamp", role=role, image=image))
        recipe = (SHIPPED / "typical.yaml").read_text()
        lot = CreateLot(
            lot="L",
            product="lamp",
            count=UNITS,
            recipe=recipe,
            recipe_name="typical.yaml",
            firmware="1.0.0+0",
            diagnostic="0.9.0+0",
        )
        platform.command(lot)
        yield platform


async def measured(work: Callable[[], Awaitable[object]]) -> Cost:
    """What it costs."""
    wall, cpu = time.perf_counter(), time.thread_time()
    await work()
    return Cost(wall=time.perf_counter() - wall, cpu=time.thread_time() - cpu)


async def upload_with_smpclient(port: str, image: bytes) -> Cost:
    """Bare ``smpclient``, sized by the server's parameters."""
    async with SMPClient(SMPSerialTransport(), port, timeout_s=10) as client:
        await client.request(ImageErase())

        async def work() -> None:
            async for _ in client.upload(image):
                pass

        return await measured(work)


async def upload_with_station(port: str, image: bytes) -> Cost:
    """The station's driver."""
    async with SMPClient(SMPSerialTransport(), port, timeout_s=10) as client:
        await client.request(ImageErase())
    target = SmpTarget(port, baud=115200)
    await target.open()
    try:
        return await measured(lambda: target.upload(image, lambda _: None))
    finally:
        await target.close()


async def run_lot(platform: Platform, folder: Path, ports: list[str]) -> tuple[Cost, list[RunOutcome]]:
    """All units at once through the typical recipe."""
    outcomes: list[RunOutcome] = []
    authority = platform.station("bench")
    package = await authority.lot("L")
    fixtures = [Fixture(name=str(number), port=port) for number, port in enumerate(ports)]
    with open_journal(folder / "journal") as journal:

        async def work() -> None:
            outcomes.extend(
                await run_fixtures(
                    station="bench",
                    port=authority,
                    package=package,
                    fixtures=fixtures,
                    at_once=len(fixtures),
                    journal=journal,
                    clock=system_clock,
                    on_event=lambda _: None,
                )
            )

        return await measured(work), outcomes


def show(name: str, cost: Cost, kib: float, peer: Cost | None = None) -> None:
    """One line: rate, CPU, and the ratios to a peer."""
    ratios = f"{peer.wall / cost.wall:9.1f}x rate {cost.cpu / peer.cpu:6.2f}x CPU" if peer else ""
    print(f"{name:28}{kib / cost.wall:10,.0f} KiB/s{cost.cpu / kib * 1e6:10,.0f} us CPU/KiB{ratios}")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with platform_with_lot(folder / "workspace") as platform:
            image = asyncio.run(platform.station("bench").lot("L")).firmware
            with units(folder / "one", 1) as (port,):
                costs: dict[str, list[Cost]] = {"smpclient": [], "station": []}
                for _ in range(ROUNDS):
                    costs["smpclient"].append(asyncio.run(upload_with_smpclient(port, image)))
                    costs["station"].append(asyncio.run(upload_with_station(port, image)))
            peer, ours = (min(found, key=lambda cost: cost.wall) for found in costs.values())
            kib = len(image) / 1024
            show("upload, bare smpclient", peer, kib)
            show("upload, station", ours, kib, peer)
            with units(folder / "lot", UNITS) as ports:
                cost, outcomes = asyncio.run(run_lot(platform, folder, ports))
    good = sum(outcome.status is Status.COMPLETE for outcome in outcomes)
    cpu, uploaded = cost.cpu / UNITS, 2 * kib
    print(f"{UNITS} units at once, typical recipe, two images of {IMAGE_KIB} KiB: {good} complete in {cost.wall:.1f} s")
    print(f"{cpu * 1e3:.0f} ms CPU a unit; {cpu / uploaded * 1e6:.0f} us a KiB uploaded, all steps counted in:")
    print(f"{cpu / uploaded / (peer.cpu / kib):.2f} of what bare smpclient takes for the upload alone")


if __name__ == "__main__":
    main()
