"""A client that takes for ever loses its connection, one that asks for ever gets no answer but that, and nobody else
waits for either. The limits are made short here."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from imprint.assemble import SERVING, open_platform
from imprint.https import client_tls
from imprint.keys.file import decrypt_key_file
from imprint.service import listener
from imprint.service.app import make_app
from imprint.service.listener import Listener, bind, server_tls
from imprint.service.measures import Measures
from imprint.service.rates import RATE, Rates
from production_line import PASSPHRASE, make_line
from service_line import asker, serving

HEALTH = b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n"
HOST = "localhost"


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A workspace with its service's certificate, and a folder of a station; beside it is another's."""
    line = make_line(tmp_path_factory.mktemp("slow"), count=3)
    with serving(line) as service:
        service.enrol("bench-2")
        return line.workspace, service.enrol("bench-1")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HANDSHAKE_S", "FIRST_BYTE_S", "REQUEST_S"):
        monkeypatch.setattr(listener, name, 1.0)


@contextlib.asynccontextmanager
async def listening(workspace: Path, folder: Path, rate: float = RATE) -> AsyncIterator["Door"]:
    with open_platform(workspace, lambda: PASSPHRASE, keys=SERVING) as platform:
        certs, file = workspace / "certs", workspace / "keys" / "service.pem"
        key = decrypt_key_file(file.read_bytes(), PASSPHRASE, subject="key")
        tls = server_tls(certs / "service.pem", key, clients=certs / "access-ca.pem")
        bound = bind("127.0.0.1:0")
        app = make_app(
            platform.reader,
            asker(platform),
            rates=Rates(asyncio.get_running_loop().time, rate=rate, burst=20 * rate),
            measures=Measures(),
        )
        server = await Listener(app, tls=tls, bound=bound).start()
        try:
            yield Door(bound.getsockname()[1], client_tls(folder, PASSPHRASE))
        finally:
            server.close()


class Door:
    """Where clients come in."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self.port = port
        self._tls = tls

    async def enter(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection with its handshake done."""
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self._tls, server_hostname=HOST)

    async def knock(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection without a word of TLS."""
        return await asyncio.open_connection("127.0.0.1", self.port)


async def is_served(door: Door) -> bool:
    reader, writer = await door.enter()
    writer.write(HEALTH)
    line = await reader.readline()
    writer.close()
    return line == b"HTTP/1.1 200 OK\r\n"


async def ends(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other end has gone."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        return await asyncio.wait_for(reader.read(), 20)
    return b""


def run(enrolled: tuple[Path, Path], main: Any, *, rate: float = RATE) -> None:
    async def work() -> None:
        async with listening(*enrolled, rate=rate) as door:
            await main(door)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


async def trickle(writer: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    "data",
    [
        HEALTH,
        b"PUT /v1/station/claim/x HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n" + b"{" * 500,
    ],
    ids=["header", "body"],
)
def test_one_byte_at_a_time(enrolled: tuple[Path, Path], data: bytes) -> None:
    async def main(door: Door) -> None:
        reader, writer = await door.enter()
        at_once = len(data) - 500 if len(data) > 500 else 0
        writer.write(data[:at_once])
        slow = asyncio.create_task(trickle(writer, data[at_once:]))
        assert await is_served(door)
        assert await ends(reader) == b""
        assert await is_served(door)
        slow.cancel()
        writer.close()

    run(enrolled, main)


def test_many_idle_connections(enrolled: tuple[Path, Path]) -> None:
    """Some stop before the handshake, some after it; the line goes on meanwhile, and all of them end."""

    async def main(door: Door) -> None:
        strangers = [await door.knock() for _ in range(300)]
        idle = [await door.enter() for _ in range(20)]
        for _ in range(10):
            assert await is_served(door)
        for reader, writer in strangers + idle:
            assert await ends(reader) == b""
            writer.close()
        assert await is_served(door)

    run(enrolled, main)


def test_more_connections_than_are_taken(enrolled: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MOST_CONNECTIONS", 5)

    async def main(door: Door) -> None:
        taken = [await door.enter() for _ in range(5)]
        reader, _ = await door.enter()
        assert await ends(reader) == b""
        for _, writer in taken:
            writer.close()
        await asyncio.sleep(0.2)
        assert await is_served(door)

    run(enrolled, main)


def test_one_account_does_not_take_them_all(enrolled: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MOST_OF_ONE", 5)
    other = client_tls(enrolled[1].with_name("bench-2"), PASSPHRASE)

    async def main(door: Door) -> None:
        taken = [await door.enter() for _ in range(5)]
        reader, _ = await door.enter()
        assert await ends(reader) == b""
        assert await is_served(Door(door.port, other)), "another account is not concerned"
        for _, writer in taken:
            writer.close()
        await asyncio.sleep(0.2)
        assert await is_served(door)

    run(enrolled, main)


def test_a_connection_that_is_used_stays(enrolled: tuple[Path, Path]) -> None:
    """The limits are for each request, not for the connection."""

    async def main(door: Door) -> None:
        reader, writer = await door.enter()
        for _ in range(4):
            writer.write(HEALTH)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            await asyncio.sleep(0.5)
        writer.close()

    run(enrolled, main)


def test_a_flood_is_held_back(enrolled: tuple[Path, Path]) -> None:
    async def main(door: Door) -> None:
        reader, writer = await door.enter()
        writer.write(HEALTH * 99 + HEALTH.replace(b"host: x", b"connection: close\r\nhost: x"))
        said = await ends(reader)
        answered = {status: said.count(b"HTTP/1.1 %d " % status) for status in (200, 429)}
        assert answered[200] + answered[429] == 100
        assert answered[200] >= 20, "a burst goes through"
        assert answered[429] > 0
        assert said.count(b"retry-after: ") == answered[429]

    run(enrolled, main, rate=1)
