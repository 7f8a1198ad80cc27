"""Certifications and whole units a second over keep-alive mutual TLS, from 8 clients on the machine that also serves.

A certification is a request with a CSR answered with a certificate, durable and in the ledger. The clients are tasks of
this process, each with a connection and an account of its own; what they cost in CPU is said, since they share the
cores of the machine with the service. Beside them, in the same run: ``GET /v1/health``: TLS, HTTP and the door alone.

Run: ``python -m benchmarks.service``.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Final

import psutil
import uvloop

from benchmarks.authority import PASSPHRASE, PRODUCT, ReadyUnit, ready_unit
from imprint.assemble import Platform, open_platform
from imprint.authority.access.account import Role
from imprint.authority.production.commands import DefineProduct
from imprint.authority.production.product import Product
from imprint.cli.account import invite_account
from imprint.enrol import enrol
from imprint.https import client_tls
from imprint.make_workspace import create
from imprint.protocol.answers import Answer
from imprint.protocol.codec import decode_answer, decode_package, encode_intention
from imprint.protocol.commands import AddRelease, CreateLot
from imprint.protocol.intentions import Intention
from imprint.protocol.port import LotPackage
from imprint.testing.soft_station import SoftStation

CLIENTS: Final = 8
ROUNDS: Final = 3
UNITS: Final = 1600  # of each round
WANTED: Final = 2000
AIM: Final = 3000


class WirePort:
    """:class:`imprint.protocol.port.AuthorityPort` on one connection, as bare as a client can be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.seconds: list[float] = []

    async def ask(self, request_id: str, intention: Intention) -> Answer:
        """One request, one answer."""
        body = encode_intention(intention)
        return decode_answer(await self.send("PUT", f"/v1/station/{intention.kind}/{request_id}", body))

    async def is_valid(self, certificate: bytes) -> bool:
        """Not measured."""
        raise NotImplementedError

    async def lot(self, lot: str) -> LotPackage:
        """The lot's package."""
        return decode_package(await self.send("GET", f"/v1/lots/{lot}/package"))

    async def send(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The answer's body."""
        began = time.perf_counter()
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        told = await self._reader.readuntil(b"\r\n\r\n")
        length = int(told.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answer = await self._reader.readexactly(length)
        self.seconds.append(time.perf_counter() - began)
        if not told.startswith(b"HTTP/1.1 200"):
            raise AssertionError(answer)
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a round gave: operations a second, the 99th percentile in ms, and both ends' CPU in cores."""

    per_second: float
    p99_ms: float
    clients_cores: float
    service_cores: tuple[float, ...]  # the process that decides, and the one that listens


def cpu_of(service: psutil.Process) -> tuple[float, ...]:
    """Seconds that each of its processes has used."""
    return tuple(sum(each.cpu_times()[:2]) for each in (service, *service.children()))


async def measured(
    ports: Sequence[WirePort], service: psutil.Process, work: Callable[[WirePort, int], Awaitable[int]]
) -> Rate:
    """Let each client do its work at once; ``work`` gives how many operations it did."""
    for port in ports:
        port.seconds.clear()
    began, own, others = time.perf_counter(), time.process_time(), cpu_of(service)
    done = await asyncio.gather(*(work(port, number) for number, port in enumerate(ports)))
    took = time.perf_counter() - began
    every = [second for port in ports for second in port.seconds]
    return Rate(
        per_second=sum(done) / took,
        p99_ms=quantiles(every, n=100)[98] * 1000,
        clients_cores=(time.process_time() - own) / took,
        service_cores=tuple((now - then) / took for now, then in zip(cpu_of(service), others, strict=True)),
    )


@dataclass(slots=True)
class Load:
    """The clients of one service, and what they ask."""

    ports: Sequence[WirePort]
    service: psutil.Process
    package: LotPackage
    count: int = 0

    async def healths(self) -> Rate:
        """TLS, HTTP and the door."""
        return await measured(self.ports, self.service, lambda port, _: healths(port))

    async def certifications(self) -> Rate:
        """Units that were claimed before get their certificates."""
        stations, shares = self._stations(), self._units(UNITS)
        fences: list[list[int]] = [[] for _ in stations]

        async def claim(_: WirePort, at: int) -> int:
            fences[at] = [(await stations[at].claim(unit)).fence for unit in shares[at]]
            return len(fences[at])

        await measured(self.ports, self.service, claim)

        async def certify(_: WirePort, at: int) -> int:
            for unit, fence in zip(shares[at], fences[at], strict=True):
                await stations[at].certify(unit, fence)
            return len(shares[at])

        return await measured(self.ports, self.service, certify)

    async def whole_units(self) -> Rate:
        """Claim, certify, permit, complete."""
        stations, shares = self._stations(), self._units(UNITS // 4)

        async def imprint(_: WirePort, at: int) -> int:
            for unit in shares[at]:
                await stations[at].imprint(unit)
            return len(shares[at])

        return await measured(self.ports, self.service, imprint)

    def _stations(self) -> list[SoftStation]:
        self.count += 1
        return [SoftStation(port, self.package, prefix=f"c{self.count}-{at}") for at, port in enumerate(self.ports)]

    def _units(self, count: int) -> list[list[ReadyUnit]]:
        units = [ready_unit() for _ in range(count)]
        return [units[client::CLIENTS] for client in range(CLIENTS)]


async def rounds(load: Load) -> dict[str, list[Rate]]:
    """All rounds of all kinds."""
    found: dict[str, list[Rate]] = {"health": [], "certifications": [], "whole units": []}
    for _ in range(ROUNDS):
        found["health"].append(await load.healths())
        found["certifications"].append(await load.certifications())
        found["whole units"].append(await load.whole_units())
    return found


async def healths(port: WirePort) -> int:
    """TLS, HTTP and the door."""
    for _ in range(200):
        await port.send("GET", "/v1/health")
    return 200


def prepare(platform: Platform) -> None:
    """A product, a release and a lot with room for every round."""
    platform.command(DefineProduct(definition=Product.from_yaml(PRODUCT, name="lamp").definition()))
    image = platform.seal(os.urandom(2048), version="1.0.0", security_counter=1)
    platform.command(AddRelease(product="lamp", role="production", image=image))
    platform.command(
        CreateLot(
            lot="L",
            product="lamp",
            count=2 * UNITS * ROUNDS,
            recipe="bench",
            recipe_name="bench",
            firmware="1.0.0+0",
            diagnostic=None,
        )
    )


async def connect(folder: Path, url: str, service: psutil.Process) -> Load:
    """All clients, each on its connection."""
    host, _, number = url.removeprefix("https://").partition(":")

    async def port(tls: ssl.SSLContext) -> WirePort:
        return WirePort(*await asyncio.open_connection(host, int(number), ssl=tls, limit=1 << 20))

    ports = [await port(client_tls(folder / f"client-{at}", PASSPHRASE)) for at in range(CLIENTS)]
    packages = [await each.lot("L") for each in ports]  # whoever says nothing for ten seconds is cut off
    return Load(ports, service, packages[0])


def make(folder: Path) -> None:
    """A workspace in which clients can be enrolled."""
    create(folder / "ws", organization="Example", passphrase=PASSPHRASE, root_passphrase=PASSPHRASE)
    with open_platform(folder / "ws", lambda: PASSPHRASE) as platform:
        prepare(platform)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The service and its URL; every client is enrolled."""
    with open_platform(folder / "ws", lambda: PASSPHRASE) as platform:
        invitations = [invite_account(platform, f"client-{at}", Role.STATION) for at in range(CLIENTS)]
    secret = folder / "passphrase"
    secret.touch(mode=0o600)
    secret.write_bytes(PASSPHRASE)
    ports = ("--listen", "127.0.0.1:0", "--enrol", "127.0.0.1:0", "--json", "--passphrase-file", str(secret))
    command = [sys.executable, "-m", "imprint", "-C", str(folder / "ws"), "serve", *ports]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        told = json.loads(process.stdout.readline() if process.stdout else "")
        for at, invitation in enumerate(invitations):
            while True:
                try:
                    enrol(folder / f"client-{at}", told["enrol"], invitation, PASSPHRASE)
                    break
                except Exception:  # strangers have few tries a second
                    time.sleep(1)
        yield told["url"], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Measure and print."""

    async def work(folder: Path, url: str, service: psutil.Process) -> dict[str, list[Rate]]:
        return await rounds(await connect(folder, url, service))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        with serving(folder) as (url, service), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            show(runner.run(work(folder, url, service)))


def show(found: dict[str, list[Rate]]) -> None:
    """The best round of each kind, with the slowest beside it."""
    for kind, rates in found.items():
        best, worst = max(rates, key=_speed), min(rates, key=_speed)
        print(
            f"{kind:15} {best.per_second:7,.0f}/s, at worst {worst.per_second:7,.0f}/s; p99 {best.p99_ms:5.1f} ms; "
            f"cores: clients {best.clients_cores:.2f}, deciding {best.service_cores[0]:.2f}, "
            f"listening {best.service_cores[1]:.2f}"
        )
    print(f"wanted: {WANTED:,} certifications/s, aim {AIM:,}; whole units a quarter of that; p99 under 20 ms")


def _speed(rate: Rate) -> float:
    return rate.per_second


if __name__ == "__main__":
    main()
