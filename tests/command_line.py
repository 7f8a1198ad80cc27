"""The command line in this process, as the program runs it; and a workspace in which units have shipped."""

import asyncio
import json
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imprint.assemble import Platform, open_platform
from imprint.authority.production.commands import DefineProduct
from imprint.authority.production.product import Product
from imprint.cli import run
from imprint.cli.crl import sign_crl
from imprint.cli.errors import exit_code_of
from imprint.cli.lot import close_lot, export_lot
from imprint.make_workspace import create
from imprint.protocol.commands import AddRelease, CreateLot
from imprint.protocol.intentions import QuarantineUnit
from imprint.reader import open_reader
from imprint.station.recipe import SHIPPED
from imprint.testing.soft_station import SoftStation
from imprint.testing.soft_unit import SoftUnit

PASSPHRASE = "nine geese over the harbour"
LOT = "lot-1"
PRODUCT = b"""\
product: lamp
identity: {name: lamp-idevid, key_algorithm: p256, key_origin: device, organization: Example,
  hardware_type: 1.3.6.1.4.1.32473.1}
serials: {made: "SN-", width: 4}
values:
  mac: {kind: eui48, first: "02:00:5e:00:00:01", count: 1000}
"""
SHIPPED_UNITS = (SoftUnit(hardware_id=bytes(7) + b"\x01"), SoftUnit(hardware_id=bytes(7) + b"\x02"))
QUARANTINED_UNIT = SoftUnit(hardware_id=bytes(7) + b"\x03")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """The object that ``--json`` printed."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found

    @property
    def error(self) -> dict[str, Any]:
        """The object that ``--json`` printed about an error."""
        found: dict[str, Any] = json.loads(self.err.splitlines()[-1])["error"]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """Runs commands in one workspace."""

    workspace: Path
    passphrase_file: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *args: object, code: int = 0) -> Ended:
        """Run; the exit code must be ``code``."""
        ended = self.attempt(*args)
        assert ended.code == code, ended
        return ended

    def attempt(self, *args: object) -> Ended:
        """Run, however it ends."""
        texts = ["-C", str(self.workspace), *map(str, args)]
        self.capsys.readouterr()
        code = exit_code_of(lambda: run(texts), as_json="--json" in texts)
        out, err = self.capsys.readouterr()
        return Ended(code=code, out=out, err=err)

    def decide(self, *args: object, code: int = 0) -> Ended:
        """Run with the passphrase."""
        return self(*args, "--passphrase-file", self.passphrase_file, code=code)

    def sql(self, statement: str) -> None:
        """Change the database behind Imprint's back."""
        database = sqlite3.connect(self.workspace / "imprint.db", isolation_level=None)
        assert database.execute(statement).rowcount
        database.close()


def build_workspace(folder: Path) -> None:
    """One lot of four units: two have shipped, one is in quarantine, one place is unused."""
    secret = PASSPHRASE.encode()
    create(folder, organization="Example", passphrase=secret, root_passphrase=secret)
    with open_platform(folder, lambda: secret) as platform:
        platform.command(DefineProduct(definition=Product.from_yaml(PRODUCT, name="lamp.yaml").definition()))
        for role, version in (("diagnostic", "0.9.0"), ("production", "1.0.0")):
            image = platform.seal(role.encode() * 900, version=version, security_counter=2)
            platform.command(AddRelease(product="lamp", role=role, image=image))
        lot = CreateLot(
            lot=LOT,
            product="lamp",
            count=4,
            recipe=(SHIPPED / "typical.yaml").read_text(),
            recipe_name="typical",
            firmware="1.0.0+0",
            diagnostic="0.9.0+0",
        )
        platform.command(lot)
        asyncio.run(_make_units(platform))


def build_export(workspace: Path, folder: Path) -> Path:
    """Close the workspace's lot, sign a revocation list, and export the lot to ``folder``."""
    with open_platform(workspace, PASSPHRASE.encode) as platform:
        close_lot(platform, LOT)
        sign_crl(platform, platform.reader.workspace.crl, days=7)
    export_lot(open_reader(workspace), LOT, folder)
    return folder


async def _make_units(platform: Platform) -> None:
    port = platform.station("bench-1")
    station = SoftStation(port, await port.lot(LOT))
    for unit in SHIPPED_UNITS:
        await station.imprint(unit)
    claimed = await station.claim(QUARANTINED_UNIT)
    await station.certify(QUARANTINED_UNIT, claimed.fence)
    hardware_id = QUARANTINED_UNIT.hardware_id.hex()
    await station.ask(QuarantineUnit(lot=LOT, hardware_id=hardware_id, fence=claimed.fence, reason="went silent"))


def copied(source: Path, target: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(source, target)
    return target
