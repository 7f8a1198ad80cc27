"""Serving: both ports, the checkpoints between, until somebody says stop."""

import asyncio
import resource
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
import uvloop

from imprint.assemble import Platform
from imprint.make_checkpoints import make_checkpoints
from imprint.service.app import make_app
from imprint.service.enrolment_app import make_enrolment_app
from imprint.service.listener import Listener
from imprint.service.measures import Measures
from imprint.service.rates import Rates

PATIENCE_S: Final = 10.0  # for requests that are under way when the service stops
STRANGERS_RATE: Final = 5.0  # enrolments a second, from all strangers together
STRANGERS_BURST: Final = 20.0

# Arranges that the event is set when somebody says stop.
StopSignal = Callable[[asyncio.AbstractEventLoop, asyncio.Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A bound socket and the TLS that is spoken there."""

    bound: socket.socket
    tls: ssl.SSLContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where accounts ask, the URL by which they get there, and where strangers enrol."""

    url: str
    main: Port
    enrolment: Port


def serve(platform: Platform, ports: Ports, *, ready: Callable[[], None], stop: StopSignal) -> None:
    """Serve until ``stop`` is given; then finish what is under way. ``ready`` is called once both ports listen."""
    _allow_many_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(platform, ports, ready, stop))


async def _serve(platform: Platform, ports: Ports, ready: Callable[[], None], stop: StopSignal) -> None:
    stopped = asyncio.Event()
    stop(asyncio.get_running_loop(), stopped)
    rates = Rates(time.monotonic)
    strangers = Rates(time.monotonic, rate=STRANGERS_RATE, burst=STRANGERS_BURST)
    listeners = [
        Listener(make_app(platform, rates=rates, measures=Measures()), tls=ports.main.tls, bound=ports.main.bound),
        Listener(
            make_enrolment_app(platform, url=ports.url, rates=strangers),
            tls=ports.enrolment.tls,
            bound=ports.enrolment.bound,
        ),
    ]
    servers = [await listener.start() for listener in listeners]
    checkpoints = asyncio.create_task(make_checkpoints(platform, _tell_no_checkpoint))
    ready()
    await stopped.wait()
    for server in servers:
        server.close()
    for listener in listeners:
        await listener.finish(PATIENCE_S)
    checkpoints.cancel()
    with suppress(asyncio.CancelledError):
        await checkpoints


def _tell_no_checkpoint(problem: Exception) -> None:
    log: Any = structlog.get_logger()
    log.error("no checkpoint", kind=type(problem).__name__, what=getattr(problem, "what", ""))


def _allow_many_files() -> None:
    """Idle strangers hold a descriptor each until their handshake is given up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
