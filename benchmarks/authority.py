"""Units a second through the authority in this process, beside the bare cryptography of the same decisions, SQLite's
own durable commits and the ``openssl`` command line, all measured in the same run.

Each unit is four decisions (claim, certify, permit, complete), each durable and in the ledger before it is answered.
The callers are ``CALLERS`` tasks that each wait for their answer. Keys and certificate requests are made beforehand;
what the simulated units and stations still cost is measured alone and said.

Run: ``python -m benchmarks.authority``.
"""

import asyncio
import os
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imprint.assemble import Platform, open_platform
from imprint.authority.production.commands import DefineProduct
from imprint.authority.production.product import Product
from imprint.formats.provisioning_group import STATEMENT_CONTEXT
from imprint.formats.x509 import check_csr
from imprint.keys.file import FileSigner
from imprint.keys.verify import verify
from imprint.make_workspace import create
from imprint.protocol.commands import AddRelease, CreateLot
from imprint.testing.soft_station import SoftStation
from imprint.testing.soft_unit import SoftUnit, new_key

UNITS: Final = 1500
ROUNDS: Final = 3
CALLERS: Final = 32
DECISIONS: Final = 4
WANTED: Final = 2000
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
values:
  mac: {kind: eui48, first: "02:00:00:00:00:00", count: 100000}
"""


@dataclass(slots=True, kw_only=True)
class ReadyUnit(SoftUnit):
    """A unit whose certificate request was made before the clock starts."""

    request: bytes = b""

    def csr(self) -> bytes:
        """The request."""
        return self.request


def ready_unit() -> ReadyUnit:
    """A unit with a key and a request."""
    unit = ReadyUnit(hardware_id=os.urandom(8))
    unit.request = SoftUnit.csr(unit)
    return unit


async def imprint_all(platform: Platform, units: list[ReadyUnit], prefix: str) -> None:
    """Take all units through the life cycle, ``CALLERS`` at once."""
    port = platform.station("bench")
    package = await port.lot("L")
    waiting = iter(units)

    async def call(number: int) -> None:
        station = SoftStation(port, package, prefix=f"{prefix}-{number}")
        for unit in waiting:
            await station.imprint(unit)

    await asyncio.gather(*(call(number) for number in range(CALLERS)))


def authority_rate(platform: Platform, number: int) -> tuple[float, float]:
    """Units a second, and seconds of CPU a unit of the whole process."""
    units = [ready_unit() for _ in range(UNITS)]
    start, cpu = time.perf_counter(), time.process_time()
    asyncio.run(imprint_all(platform, units, f"round-{number}"))
    return UNITS / (time.perf_counter() - start), (time.process_time() - cpu) / UNITS


def seconds(call: Callable[[], object], count: int = 2000) -> float:
    """Seconds a call takes, the best of three."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(count):
            call()
        best = min(best, (time.perf_counter() - start) / count)
    return best


def bare_cryptography() -> dict[str, float]:
    """Seconds a unit of the signatures and checks that the four decisions cannot do without, one thread."""
    unit = ready_unit()
    p256, ed25519 = FileSigner(new_key()), FileSigner(new_key("ed25519"))
    statement, signature = unit.prove(bytes(32))
    spki, message = unit.spki(), STATEMENT_CONTEXT + statement
    return {
        "check the request": seconds(lambda: check_csr(unit.request, algorithm="p256")),
        "sign the certificate": seconds(lambda: p256.sign(bytes(420))),
        "check the statement": seconds(lambda: verify(spki, message, signature)),
        "sign the record": seconds(lambda: ed25519.sign(bytes(3500))),
        "sign four receipts": DECISIONS * seconds(lambda: ed25519.sign(bytes(80))),
    }


def units_own_cost() -> float:
    """Seconds a unit of what only the simulated unit does while the clock runs: signing its statement."""
    unit = ready_unit()
    return seconds(lambda: unit.prove(bytes(32)))


def sqlite_commits(folder: Path) -> float:
    """Durable commits a second of one small row each."""
    database = sqlite3.connect(folder / "commits.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE rows (data BLOB)")
    row = bytes(500)
    return 1 / seconds(lambda: database.execute("INSERT INTO rows VALUES (?)", (row,)), 500)


def openssl_certificates(folder: Path) -> float:
    """Certificates a second of the ``openssl`` command line, one process each."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-pkeyopt", "ec_paramgen_curve:P-256")
    openssl("req", "-x509", "-newkey", "ec", *curve, "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca")
    openssl("req", "-newkey", "ec", *curve, "-nodes", "-keyout", "unit.key", "-out", "unit.csr", "-subj", "/CN=unit")
    issue = ("x509", "-req", "-in", "unit.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", "u.crt")
    return 1 / seconds(lambda: openssl(*issue), 20)


def prepare(platform: Platform) -> None:
    """A product, a release and a lot with room for every round."""
    platform.command(DefineProduct(definition=Product.from_yaml(PRODUCT, name="lamp").definition()))
    image = platform.seal(os.urandom(2048), version="1.0.0", security_counter=1)
    platform.command(AddRelease(product="lamp", role="production", image=image))
    platform.command(
        CreateLot(
            lot="L",
            product="lamp",
            count=UNITS * ROUNDS,
            recipe="bench",
            recipe_name="bench",
            firmware="1.0.0+0",
            diagnostic=None,
        )
    )


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        create(folder / "ws", organization="Example", passphrase=PASSPHRASE, root_passphrase=PASSPHRASE)
        with open_platform(folder / "ws", lambda: PASSPHRASE) as platform:
            prepare(platform)
            rounds = sorted(authority_rate(platform, number) for number in range(ROUNDS))
        commits, openssl = sqlite_commits(folder), openssl_certificates(folder)
    rate, cpu = rounds[-1]
    parts, own = bare_cryptography(), units_own_cost()
    limit = 1 / sum(parts.values())
    decisions = rate * DECISIONS
    print(f"authority, {CALLERS} callers: {rate:,.0f} units/s, at worst {rounds[0][0]:,.0f}; wanted {WANTED:,}")
    print(
        f"  {decisions:,.0f} durable decisions/s; {cpu * 1e6:,.0f} us CPU a unit, {own * 1e6:.0f} of it the unit's own"
    )
    print(f"bare cryptography of the same, one thread: {limit:,.0f} units/s; the authority reaches {rate / limit:.0%}")
    for what, cost in parts.items():
        print(f"  {what:22} {cost * 1e6:5.0f} us")
    print(f"SQLite, one row a commit: {commits:,.0f} durable commits/s; decisions for each {decisions / commits:.2f}")
    print(
        f"openssl command line: {openssl:,.0f} certificates/s; the authority makes {rate / openssl:.0f} times as many"
    )


if __name__ == "__main__":
    main()
