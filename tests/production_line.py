"""A production line as its processes: workspace, virtual units and stations, started as a person would start them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imprint.assemble import open_platform
from imprint.authority.production.commands import DefineProduct
from imprint.authority.production.product import Product
from imprint.make_workspace import create
from imprint.protocol.commands import AddRelease, CreateLot
from imprint.station.recipe import SHIPPED

IMPRINT = (sys.executable, "-m", "imprint")
PASSPHRASE = b"seven herons crossed the weir"
ROOT_PASSPHRASE = b"a kettle under the third stair"
LOT = "L1"
STATION = "bench-1"
PATIENCE_S = 120
LONG = os.environ.get("IMPRINT_SWEEP") == "long"  # what `make sweep` asks for
_PRODUCT = b"""
product: lamp
identity:
  name: lamp-idevid
  key_algorithm: p256
  key_origin: device
  organization: Example
  hardware_type: 1.3.6.1.4.1.32473.1
serials: SERIALS
values:
  mac: {kind: eui48, first: "02:00:00:00:00:00", count: 1000}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A folder with everything of one line: ``W`` the workspace, ``V`` the bench."""

    folder: Path
    program: tuple[str, ...] = IMPRINT

    @property
    def workspace(self) -> Path:
        """Where the authority keeps its things."""
        return self.folder / "W"

    @property
    def bench(self) -> Path:
        """Where the virtual units are."""
        return self.folder / "V"

    @property
    def passphrase_file(self) -> Path:
        """The workspace's passphrase, for its owner alone."""
        return self.folder / "passphrase"

    def journal(self, station: str = STATION) -> Path:
        """A station's journal."""
        return self.workspace / "station" / f"{station}.journal"

    def command(self, *arguments: str) -> list[str]:
        """``imprint -C W …``, with the passphrase where it decides."""
        return [*self.program, "-C", str(self.workspace), *arguments, "--passphrase-file", str(self.passphrase_file)]

    def station(self, units: Sequence[int], *options: str, name: str = STATION) -> list[str]:
        """The command that imprints these units."""
        fixtures = [text for unit in units for text in ("--fixture", str(self.bench / str(unit)))]
        return self.command("station", "run", "--lot", LOT, "--station", name, "--json", *fixtures, *options)


def seed_of_today() -> int:
    """``IMPRINT_SEED`` repeats a run."""
    return int(os.environ.get("IMPRINT_SEED", time.time_ns() % 1_000_000))


def make_line(folder: Path, *, count: int, serials: bytes = b"{made: SN-}") -> Line:
    """A new workspace with a product, its releases and one lot of ``count`` units."""
    line = Line(folder=folder)
    folder.mkdir(parents=True, exist_ok=True)
    line.passphrase_file.write_bytes(PASSPHRASE + b"\n")
    line.passphrase_file.chmod(0o600)
    create(line.workspace, organization="Example", passphrase=PASSPHRASE, root_passphrase=ROOT_PASSPHRASE)
    product = Product.from_yaml(_PRODUCT.replace(b"SERIALS", serials), name="lamp.yaml")
    with open_platform(line.workspace, lambda: PASSPHRASE) as platform:
        platform.command(DefineProduct(definition=product.definition()))
        for role, version, data in (
            ("diagnostic", "0.9.0", b"diag" * 4000),
            ("production", "1.0.0", bytes(range(256)) * 256),
        ):
            image = platform.seal(data, version=version, security_counter=1)
            platform.command(AddRelease(product="lamp", role=role, image=image))
        lot = CreateLot(
            lot=LOT,
            product="lamp",
            count=count,
            recipe=(SHIPPED / "typical.yaml").read_text(),
            recipe_name="typical.yaml",
            firmware="1.0.0+0",
            diagnostic="0.9.0+0",
        )
        platform.command(lot)
    return line


@contextmanager
def served(folder: Path, count: int, *faults: str, options: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """Virtual units at ``folder``, ready; their process. One that still runs at the end must end well."""
    wrong = [text for fault in faults for text in ("--fault", fault)]
    command = [*IMPRINT, "virtual", "--dir", str(folder), "--count", str(count), "--json", *wrong, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert len(json.loads(process.stdout.readline())["units"]) == count
        yield process
        if process.poll() is None:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.communicate()


def run(command: Sequence[str], **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run to the end, with what it said."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, **settings
    )
    return done


def units_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """A station's result: one row a fixture, in the order of the fixtures."""
    assert done.stdout, f"exit {done.returncode}: {done.stderr}"
    units: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])["units"]
    return units


def statuses(done: subprocess.CompletedProcess[str]) -> list[str]:
    """How each fixture ended."""
    return [unit["status"] for unit in units_of(done)]


def error_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What went wrong, as ``--json`` tells it."""
    assert done.returncode != 0, done.stdout
    error: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error["exit_code"] == done.returncode
    return error


def litter(folder: Path) -> list[str]:
    """Files that a writer left half-way."""
    return [str(path) for path in folder.rglob("*") if path.name.endswith((".tmp", ".new", ".draft"))]
