"""Serving with two processes: one listens, one decides.

Python runs one thread at a time, so two processes serve more; and the one that speaks with the network has no signing
key in its memory. It is forked before the passphrase is read, and gets the key of the TLS certificate over the socket.
"""

import ctypes
import multiprocessing
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, Final

import structlog

from imprint.assemble import Platform
from imprint.errors import ImprintError
from imprint.make_checkpoints import making_checkpoints
from imprint.service.decider import Decider

_LENGTH: Final = 4
_PR_SET_DUMPABLE: Final = 4

# What the listening process does with the key and its end of the socket.
Listen = Callable[[bytes, socket.socket], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """The process that listens, and the socket to it."""

    process: BaseProcess
    link: socket.socket


@contextmanager
def forked(listen: Listen) -> Iterator[Child]:
    """A process that waits for the key that :func:`serve` sends, and then listens. It ends when this one closes the
    socket, or ends itself."""
    ours, theirs = socket.socketpair()
    process = multiprocessing.get_context("fork").Process(target=_run, args=(listen, ours, theirs), daemon=True)
    with closing(ours):
        process.start()
        theirs.close()
        yield Child(process=process, link=ours)
    process.join()


def _run(listen: Listen, theirs: socket.socket, ours: socket.socket) -> None:
    """In the new process."""
    theirs.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until it listens there is nothing to finish
    try:
        length = ours.recv(_LENGTH, socket.MSG_WAITALL)
        if length:
            listen(ours.recv(int.from_bytes(length), socket.MSG_WAITALL), ours)
    except Exception as problem:
        structlog.get_logger().error("failed", kind=type(problem).__name__, exc_info=problem)
        raise SystemExit(1) from None


def hide_memory() -> None:
    """From now on no process of the same user may read this one's memory, and no core dump has it (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def serve(platform: Platform, child: Child, key: bytes) -> None:
    """Give the listening process its key, and decide what it asks until it ends: after SIGTERM or SIGINT to this
    process, when it has finished what was under way. Raises :class:`ImprintError` when it ends by itself."""
    stopping = threading.Event()

    def stop(*_: object) -> None:
        stopping.set()
        child.process.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with making_checkpoints(platform, _tell_no_checkpoint), suppress(ConnectionError):
        child.link.sendall(len(key).to_bytes(_LENGTH) + key)
        Decider(platform).serve(child.link)
    if not stopping.is_set():
        raise ImprintError("the process that listens has ended", next_step="See the log; then start the service again")


def _tell_no_checkpoint(problem: Exception) -> None:
    log: Any = structlog.get_logger()
    log.error("no checkpoint", kind=type(problem).__name__, what=getattr(problem, "what", ""))
