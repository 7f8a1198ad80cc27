"""The listening process: TLS, HTTP, the door and the log. It has no key but that of its TLS certificate, and reads the
database without being able to write; what is to be decided, it asks the deciding process."""

import asyncio
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import uvloop

from imprint.clock import system_clock
from imprint.reader import Reader
from imprint.service.app import make_app
from imprint.service.enrolment_app import make_enrolment_app
from imprint.service.link import Link
from imprint.service.listener import Listener, server_tls
from imprint.service.measures import Measures
from imprint.service.rates import Rates

PATIENCE_S: Final = 10.0  # for requests that are under way when the service stops
STRANGERS_RATE: Final = 5.0  # enrolments a second, from all strangers together
STRANGERS_BURST: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What listens: the URL by which accounts get there, the key of its certificate (PEM), and its two bound sockets:
    for accounts, and for strangers who enrol."""

    reader: Reader
    url: str
    key: bytes
    bound: tuple[socket.socket, socket.socket]

    def run(self, link: socket.socket, *, ready: Callable[[], None]) -> None:
        """Listen until SIGTERM or the end of the deciding process; then finish what is under way. ``ready`` is
        called once both ports listen."""
        _allow_many_files()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run(link, ready))

    async def _run(self, end: socket.socket, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
        _, link = await loop.create_connection(lambda: Link(stopped.set), sock=end)
        listeners = self._listeners(link)
        servers = [await listener.start() for listener in listeners]
        ready()
        await stopped.wait()
        for server in servers:
            server.close()
        for listener in listeners:  # when the other process has gone, each request learns that nothing is known
            await listener.finish(PATIENCE_S)
        link.close()

    def _listeners(self, link: Link) -> Sequence[Listener]:
        workspace = self.reader.workspace
        certificate, clients = workspace.service_certificate, workspace.access_ca_certificate
        accounts = make_app(self.reader, link.ask, rates=Rates(time.monotonic), measures=Measures())
        strangers = make_enrolment_app(
            self.reader,
            link.ask,
            url=self.url,
            rates=Rates(time.monotonic, rate=STRANGERS_RATE, burst=STRANGERS_BURST),
            clock=system_clock,
        )
        return [
            Listener(accounts, tls=server_tls(certificate, self.key, clients=clients), bound=self.bound[0]),
            Listener(strangers, tls=server_tls(certificate, self.key, clients=None), bound=self.bound[1]),
        ]


def _allow_many_files() -> None:
    """Idle strangers hold a descriptor each until their handshake is given up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
