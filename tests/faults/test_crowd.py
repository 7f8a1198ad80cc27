"""Thousands of connections that say nothing, from strangers and from an account, while two stations work."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_service_kills import station, working

from imprint.https import client_tls
from line_check import disagreements
from production_line import LONG, PASSPHRASE, make_line, served
from service_line import Service, serving

STRANGERS, IDLERS = 5000, 500
UNITS = 40
PATIENCE_S = 240


class Crowd:
    """So many connections, each made again when it is ended."""

    def __init__(self, service: Service, folder: Path) -> None:
        host, _, port = service.url.removeprefix("https://").partition(":")
        self._address = (host, int(port))
        self._tls = client_tls(folder, PASSPHRASE)
        self._inside = 0
        self.most = 0
        self.ended = 0

    async def be_there(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(STRANGERS + IDLERS):
                group.create_task(self._hold(None if number < STRANGERS else self._tls))
                await asyncio.sleep(0.001)

    async def _hold(self, tls: ssl.SSLContext | None) -> None:
        while True:
            with contextlib.suppress(OSError, ssl.SSLError):
                reader, writer = await asyncio.open_connection(*self._address, ssl=tls)
                self._inside += 1
                self.most = max(self.most, self._inside)
                try:
                    await reader.read()
                finally:
                    self._inside -= 1
                    writer.close()
            self.ended += 1
            await asyncio.sleep(1.0)


@contextlib.contextmanager
def crowded(crowd: Crowd) -> Iterator[None]:
    """In a thread of its own."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(crowd.be_there())

    def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


@pytest.mark.skipif(not LONG, reason="a minute: run it with 'make sweep'")
def test_the_line_goes_on_in_a_crowd(tmp_path: Path) -> None:
    line = make_line(tmp_path, count=UNITS)
    with serving(line) as service, served(line.bench, UNITS):
        crowd = Crowd(service, service.enrol("idler"))
        folders = [service.enrol(name) for name in ("bench-1", "bench-2")]
        with crowded(crowd):
            while crowd.most < STRANGERS:
                threading.Event().wait(0.1)
            halves = [range(0, UNITS, 2), range(1, UNITS, 2)]
            commands = [station(line, *each) for each in zip(folders, halves, strict=True)]
            with working(commands) as stations:
                said = [each.communicate(timeout=PATIENCE_S) for each in stations]
        print(f"{crowd.most} connections at once, {crowd.ended} were ended")
    for (out, err), each in zip(said, stations, strict=True):
        assert each.returncode == 0, err[-2000:]
        assert out
    assert disagreements(line, finished=True) == []
