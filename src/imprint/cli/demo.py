"""``imprint demo``: a whole production line, with three planted faults, in a fresh folder."""

import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from imprint.assemble import Platform, open_platform
from imprint.authority.access.account import Role
from imprint.cli.account import invite_account
from imprint.cli.lot import close_lot, export_lot
from imprint.cli.output import Json, show
from imprint.cli.passphrase import PassphraseFile, read_passphrase
from imprint.cli.recipe import read_recipe
from imprint.cli.station import run_station
from imprint.enrol import enrol
from imprint.errors import LedgerError, StorageError, UnitError
from imprint.formats.firmware import KNOWN_REGIONS, parse_firmware
from imprint.make_workspace import create
from imprint.protocol.commands import AddProduct, AddRelease, CreateLot
from imprint.protocol.person_port import View
from imprint.reader import open_reader
from imprint.station.fixture import Fixture
from imprint.storage.files import read_file
from imprint.storage.folder import refuse_occupied
from imprint.verify_ledger import verify_ledger

app = typer.Typer(add_completion=False)

LOT = "demo-lot"
STATION = "demo-station"
STATIONS = ("bench-1", "bench-2")
DIAGNOSTIC_SIZE = 24 * 1024
PRODUCTION_SIZE = 48 * 1024
MAX_FIRMWARE = 16 << 20
START_SECONDS = 60

PRODUCT = b"""\
product: demo-thermostat
description: A product of the demonstration
identity:
  name: demo-idevid
  key_algorithm: p256
  key_origin: device
  organization: Imprint Demo
  hardware_type: 1.3.6.1.4.1.32473.1
serials: {made: "DEMO-", width: 4}
values:
  mac: {kind: eui48, first: "02:00:5e:00:00:01", count: 10000}
"""


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="A new folder for everything")] = Path("demo"),
    units: Annotated[int, typer.Option(metavar="N", min=4, max=1000, help="Units on the line, the bad ones too")] = 24,
    fixtures: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="Fixtures at work at once")] = 8,
    firmware: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ship this firmware: raw binary or Intel HEX")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="The authority as a service, and two stations as programs of their own")
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Run a whole production line of virtual units: identity, firmware, lock and birth record for each.

    Three units are bad: one fails its self-test, one claims to be locked while its debug port is open, one reports the
    hardware ID of another. Without --passphrase-file the keys are for this run only.

    Example: imprint demo --units 24 --fixtures 8 --dir ./demo
    """
    refuse_occupied(folder)
    payload, origin = _payload(firmware)
    passphrase = _passphrase(passphrase_file)
    story = Story()
    workspace = folder / "workspace"
    story.tell("A workspace with its keys: root CA, device CA, ledger, records, firmware")
    create(workspace, organization="Imprint Demo", passphrase=passphrase, root_passphrase=passphrase)
    with open_platform(workspace, lambda: passphrase) as platform:
        story.tell(f"A product, signed releases ({origin}) and lot {LOT}: a grant for {units} units")
        _prepare(platform, payload, units)
        faults = planted_faults(units)
        for number, fault in faults.items():
            story.add(f"planted: unit {number} {_FAULT_WORDS[fault.partition('=')[0]]}")
    with virtual_units(folder / "bench", units, faults) as ports:
        bench = Bench(ports=ports, at_once=fixtures, quiet=as_json)
        if serve:
            run_served(workspace, folder, passphrase, bench, story)
        else:
            run_here(workspace, passphrase, bench, story)
    with open_platform(workspace, lambda: passphrase) as platform:
        story.tell("The lot is closed: every unit accounted for, the sum signed under a checkpoint that covers it")
        close_lot(platform, LOT)
    result = _result(workspace, folder / "export")
    if not as_json:
        show({name: value for name, value in result.items() if name != "ledger"}, as_json=False)
        left, right = (" + ".join(str(result[name]) for name in names) for names in (_GIVEN, _ACCOUNTED))
        story.add(f"{' + '.join(_GIVEN)} = {' + '.join(_ACCOUNTED)}: {left} = {right}")
    story.tell("One byte is changed in a copy of the database")
    story.add(f"ledger verify: {_tamper(workspace, folder / 'tampered')}")
    story.tell("Check it yourself, with programs that we did not write")
    story.add(f"cd {result['export']}")
    story.add("openssl verify -CAfile root.pem -untrusted ca.pem units/*/cert.pem")
    story.add("imgtool verify -k firmware-key.pem releases/production-*.bin")
    if as_json:
        show(result, as_json=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The units' ports, the clone's last; how many fixtures are at work at once; whether to be quiet."""

    ports: Sequence[Path]
    at_once: int
    quiet: bool

    def fixtures(self) -> list[Fixture]:
        """A fixture for each unit."""
        return [Fixture(name=f"unit {number}", port=str(port)) for number, port in enumerate(self.ports)]


def run_here(workspace: Path, passphrase: bytes, bench: Bench, story: "Story") -> None:
    """One station, with the authority in this process."""
    *line, clone = bench.fixtures()
    story.tell(f"The line runs: {len(line) + 1} units on {bench.at_once} fixtures")
    with open_platform(workspace, lambda: passphrase) as platform:
        run_station(platform, lot=LOT, fixtures=line, station=STATION, at_once=bench.at_once, quiet=bench.quiet)
        story.add(_CLONE_COMES)
        run_station(platform, lot=LOT, fixtures=[clone], station=STATION, at_once=1, quiet=bench.quiet)


def run_served(workspace: Path, folder: Path, passphrase: bytes, bench: Bench, story: "Story") -> None:
    """Two stations, each a program with a certificate of its own, and the authority as a service."""
    story.tell("The authority as a service: only who has a certificate from an invitation gets in")
    with open_platform(workspace, lambda: passphrase) as platform:
        invitations = [invite_account(platform, name, Role.STATION) for name in STATIONS]
    with served(workspace, passphrase) as told:
        folders = [folder / name for name in STATIONS]
        for station, invitation in zip(folders, invitations, strict=True):
            enrolled = enrol(station, told["enrol"], invitation, passphrase)
            story.add(f"{enrolled.name} has enrolled, and asks {enrolled.url}")
        *line, clone = bench.ports
        story.tell(f"The line runs: {len(line) + 1} units on {bench.at_once} fixtures of two stations")
        share = max(1, bench.at_once // len(folders))
        work = [
            start_station(each, passphrase, ports, share, quiet=bench.quiet)
            for each, ports in ((folders[0], line[0::2]), (folders[1], line[1::2]))
        ]
        for process in work:
            process.wait()
        story.add(_CLONE_COMES)
        start_station(folders[1], passphrase, [clone], 1, quiet=bench.quiet).wait()


@contextmanager
def served(workspace: Path, passphrase: bytes) -> Iterator[dict[str, str]]:
    """The service as a process of its own; what it says when it is ready."""
    command = [sys.executable, "-m", "imprint", "-C", str(workspace), "serve", "--json"]
    ports = ["--listen", "127.0.0.1:0", "--enrol", "127.0.0.1:0"]
    with (workspace.parent / "service.log").open("wb") as log, _secret_fd(passphrase) as fd:
        process = subprocess.Popen(
            [*command, *ports, "--passphrase-fd", str(fd)],
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=[fd],
            process_group=0,
        )
    try:
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise StorageError("the service did not start", subject=str(workspace), next_step="See service.log")
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def start_station(
    folder: Path, passphrase: bytes, ports: Sequence[Path], at_once: int, *, quiet: bool
) -> "subprocess.Popen[bytes]":
    """``imprint station run`` in an enrolled folder; it says on stderr how its units end."""
    command = [sys.executable, "-m", "imprint", "-C", str(folder), "station", "run", "--lot", LOT]
    fixtures = [text for port in ports for text in ("--fixture", str(port))]
    with (folder / "station.log").open("ab") as log, _secret_fd(passphrase) as fd:
        return subprocess.Popen(
            [*command, *fixtures, "--at-once", str(at_once), "--passphrase-fd", str(fd)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log if quiet else None,
            pass_fds=[fd],
        )


@contextmanager
def _secret_fd(secret: bytes) -> Iterator[int]:
    """A descriptor from which a child can read the secret; it is on no disk and in no argument list."""
    reading, writing = os.pipe()
    try:
        os.write(writing, secret + b"\n")
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


class Story:
    """What happens, for people: headings and lines on stderr."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._step = 0

    def tell(self, what: str) -> None:
        """The next step."""
        self._step += 1
        self._console.print(f"\n{self._step}. {what}", style="bold", soft_wrap=True)

    def add(self, what: str) -> None:
        """A line under the step."""
        self._console.print(f"   {what}", soft_wrap=True)


_GIVEN = ("granted", "refunded")
_ACCOUNTED = ("shipped", "scrapped", "quarantined", "unused")
_CLONE_COMES = "A last board comes in, after unit 0 has left the line as a good one"
_FAULT_WORDS = {
    "self-test": "fails its self-test",
    "false-lock": "says that it is locked while its debug port is open",
    "clone": "reports the hardware ID of unit 0",
}


def planted_faults(units: int) -> dict[int, str]:
    """Three different units, the clone the last."""
    return {max(1, units // 6): "self-test", max(2, units // 2): "false-lock", units - 1: "clone=0"}


def _payload(firmware: Path | None) -> tuple[bytes, str]:
    if firmware is None:
        return secrets.token_bytes(PRODUCTION_SIZE), "made up for the demonstration"
    parsed = parse_firmware(read_file(firmware, limit=MAX_FIRMWARE), drop=KNOWN_REGIONS)
    dropped = "".join(f", {count} bytes of {name} dropped" for name, count in parsed.dropped.items())
    return parsed.payload, f"{firmware.name}, {len(parsed.payload)} bytes{dropped}"


def _passphrase(file: Path | None) -> bytes:
    if file is None:
        return secrets.token_urlsafe(24).encode()
    return read_passphrase("workspace", file=file, new=True).reveal()


def _prepare(platform: Platform, payload: bytes, units: int) -> None:
    platform.command(AddProduct(file=PRODUCT.decode()))
    images = {
        "diagnostic": platform.seal(secrets.token_bytes(DIAGNOSTIC_SIZE), version="0.9.0", security_counter=1),
        "production": platform.seal(payload, version="1.0.0", security_counter=1),
    }
    for role, image in images.items():
        platform.command(AddRelease(product="demo-thermostat", role=role, image=image))
    name, recipe = read_recipe("typical")
    lot = CreateLot(
        lot=LOT,
        product="demo-thermostat",
        count=units,
        recipe=recipe.decode(),
        recipe_name=name,
        firmware="1.0.0+0",
        diagnostic="0.9.0+0",
    )
    platform.command(lot)


@contextmanager
def virtual_units(folder: Path, count: int, faults: dict[int, str]) -> Iterator[list[Path]]:
    """The bench: a process of its own that serves the units, as a rack of boards would; their ports."""
    options = [text for number, kind in faults.items() for text in ("--fault", f"{number}={kind}")]
    command = [sys.executable, "-m", "imprint", "virtual", "--dir", str(folder), "--count", str(count), "--json"]
    folder.mkdir(parents=True)
    with (folder / "virtual.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, process_group=0
        )
    try:
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise UnitError("the virtual units did not start", subject=str(folder), next_step="See virtual.log in it")
        yield [Path(unit["port"]) for unit in json.loads(line)["units"]]
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _result(workspace: Path, export: Path) -> dict[str, Any]:
    reader = open_reader(workspace)
    export_lot(reader, LOT, export)
    total = reader.read(View.REPORT, lot=LOT)
    verified = verify_ledger(reader)
    names = ("lot", "granted", "refunded", "shipped", "scrapped", "quarantined", "unused")
    return {
        **{name: total[name] for name in names},
        "ledger": {"size": verified.integrated, "root": verified.root.hex()},
        "export": str(export.absolute()),
    }


def _tamper(workspace: Path, copy: Path) -> str:
    """Change one byte of a stored state in a copy, and say what the check finds."""
    shutil.copytree(workspace, copy)
    try:
        with sqlite3.connect(copy / "imprint.db") as database:
            database.execute(
                "UPDATE units SET serial = substr(serial, 1, length(serial) - 1) || 'X' WHERE rowid = "
                "(SELECT min(rowid) FROM units)"
            )
        database.close()
        verify_ledger(open_reader(copy))
    except LedgerError as found:
        return str(found)
    finally:
        shutil.rmtree(copy)
    raise LedgerError("the change was not noticed", subject=str(copy))
