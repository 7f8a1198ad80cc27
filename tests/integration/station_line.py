"""A production line for tests: a workspace with its authority, virtual units in their own process, a station's call."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imprint.assemble import Platform, open_platform
from imprint.authority.production.commands import DefineProduct
from imprint.authority.production.product import Product
from imprint.clock import system_clock
from imprint.encoding import b64
from imprint.make_workspace import create
from imprint.protocol.commands import AddRelease, CreateLot
from imprint.protocol.port import AuthorityPort, LotPackage
from imprint.station.fixture import Fixture
from imprint.station.journal import Journal
from imprint.station.recipe import SHIPPED
from imprint.station.run_event import RunEvent, RunOutcome
from imprint.station.runner import run_fixtures

PASSPHRASE = b"a passphrase of tests"
LOT = "L1"
STATION = "bench-1"
_PRODUCT = """
product: lamp
identity:
  name: lamp-idevid
  key_algorithm: {algorithm}
  key_origin: {origin}
  organization: Example
  hardware_type: 1.3.6.1.4.1.32473.1
serials: {{made: SN-}}
values:
  mac: {{kind: eui48, first: "02:00:00:00:00:00", count: 1000}}
vendor_roots: {roots}
"""


@contextmanager
def virtual_units(folder: Path, count: int, *options: str) -> Iterator[list[dict[str, Any]]]:
    """Serve units; yields their ports and hardware IDs."""
    command = [sys.executable, "-m", "imprint", "virtual", "--dir", str(folder), "--count", str(count), "--json"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["units"]
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def authority(
    folder: Path,
    *,
    count: int = 10,
    recipe: str | None = None,
    algorithm: str = "p256",
    vendor_root: bytes | None = None,
    firmware: bytes = bytes(range(256)) * 64,
) -> Iterator[Platform]:
    """A platform with one product and one lot of ``count`` units; opened again when the folder is there already."""
    if folder.exists():
        with open_platform(folder, lambda: PASSPHRASE) as platform:
            yield platform
        return
    create(folder, organization="Example", passphrase=PASSPHRASE, root_passphrase=PASSPHRASE)
    name = "preprovisioned.yaml" if vendor_root else "typical.yaml"
    with open_platform(folder, lambda: PASSPHRASE) as platform:
        origin, roots = ("preprovisioned", json.dumps([b64(vendor_root)])) if vendor_root else ("device", "[]")
        text = _PRODUCT.format(algorithm=algorithm, origin=origin, roots=roots)
        platform.command(DefineProduct(definition=Product.from_yaml(text.encode(), name="lamp.yaml").definition()))
        for role, version, payload in (("diagnostic", "0.9.0", b"diag" * 3000), ("production", "1.0.0", firmware)):
            image = platform.seal(payload, version=version, security_counter=1)
            platform.command(AddRelease(product="lamp", role=role, image=image))
        platform.command(
            CreateLot(
                lot=LOT,
                product="lamp",
                count=count,
                recipe=recipe or (SHIPPED / name).read_text(),
                recipe_name=name,
                firmware="1.0.0+0",
                diagnostic="0.9.0+0",
            )
        )
        yield platform


async def run_line(
    platform: Platform,
    journal: Journal,
    fixtures: Sequence[Fixture],
    *,
    at_once: int = 8,
    port: AuthorityPort | None = None,
    package: LotPackage | None = None,
    events: list[RunEvent] | None = None,
) -> list[RunOutcome]:
    """The station's one call."""
    port = port or platform.station(STATION)
    return await run_fixtures(
        station=STATION,
        port=port,
        package=package or await port.lot(LOT),
        fixtures=fixtures,
        at_once=at_once,
        journal=journal,
        clock=system_clock,
        on_event=(events if events is not None else []).append,
    )
