"""Units behind serial lines: two ptys each, one that carries SMP and one that carries the bench port."""

import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from smp import packet

from imprint.errors import ConflictError, FormatError, StorageError
from imprint.formats import bench_port
from imprint.virtual import smp_server
from imprint.virtual.flash import PowerLost
from imprint.virtual.framing import FrameReader, Message
from imprint.virtual.unit import Unit

LINE_LENGTH: Final = 128

_READ_SIZE: Final = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One unit and where to reach it."""

    number: int
    port: Path
    bench: Path
    hardware_id: bytes  # as the unit reports it


class SerialLine:
    """A pty in raw mode. Both ends stay open, so that a station can come and go; what nobody reads is lost."""

    def __init__(self, path: Path) -> None:
        self._near, self._far = os.openpty()
        for end in (self._near, self._far):
            tty.setraw(end)
        os.set_blocking(self._near, False)
        self._path = path
        draft = path.with_name(f".{path.name}.draft")
        draft.unlink(missing_ok=True)
        draft.symlink_to(os.ttyname(self._far))
        draft.replace(path)

    def on_bytes(self, take: Callable[[bytes], None]) -> None:
        """Call ``take`` with what arrives."""
        asyncio.get_running_loop().add_reader(self._near, lambda: take(os.read(self._near, _READ_SIZE)))

    def send(self, data: bytes) -> None:
        """Send, as far as there is room: a UART does not wait for its reader."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._near, data)

    def close(self) -> None:
        """Take the line away."""
        asyncio.get_running_loop().remove_reader(self._near)
        self._path.unlink(missing_ok=True)
        os.close(self._near)
        os.close(self._far)


class LossyWire:
    """Loses one byte of about ``one_in``, or none."""

    def __init__(self, one_in: int | None) -> None:
        self._one_in = one_in
        self._next = self._gap()

    def carry(self, data: bytes) -> bytes:
        """What arrives of ``data``."""
        if self._one_in is None:
            return data
        arrived = bytearray(data)
        while self._next < len(arrived):
            del arrived[self._next]
            self._next += self._gap()
        self._next -= len(arrived)
        return bytes(arrived)

    def _gap(self) -> int:
        return 0 if self._one_in is None else secrets.randbelow(2 * self._one_in)


class UnitLine:
    """A unit on its SMP line."""

    def __init__(self, unit: Unit, line: SerialLine) -> None:
        self._unit = unit
        self._line = line
        self._reader = FrameReader()
        self._inward = LossyWire(unit.faults.lose_one_in)
        self._outward = LossyWire(unit.faults.lose_one_in)
        line.on_bytes(self._take)

    def power_cycle(self) -> None:
        """Supply off and on: what was half received is gone as well."""
        self._reader = FrameReader()
        self._unit.power_cycle()

    def _take(self, data: bytes) -> None:
        for message in self._reader.feed(self._inward.carry(data)):
            try:
                self._handle(message)
            except PowerLost:
                self.power_cycle()
                return

    def _handle(self, message: Message) -> None:
        answered = smp_server.answer(self._unit, message)
        if answered is not None:
            self._line.send(self._outward.carry(b"".join(packet.encode(answered, LINE_LENGTH))))
        if self._unit.reset_is_due:
            self._unit.reset()


class BenchLine:
    """The fixture's instruments on their line."""

    def __init__(self, unit: Unit, unit_line: UnitLine, line: SerialLine) -> None:
        self._unit = unit
        self._unit_line = unit_line
        self._line = line
        self._received = b""
        line.on_bytes(self._take)

    def _take(self, data: bytes) -> None:
        *lines, rest = (self._received + data).split(b"\n")
        self._received = rest[-bench_port.LONGEST_LINE - 2 :]
        for line in lines:
            self._line.send(bench_port.encode_reply(self._answer(line)))

    def _answer(self, line: bytes) -> bench_port.Reply:
        try:
            request = bench_port.parse_request(line)
        except FormatError as problem:
            return bench_port.Failed(why=problem.what)
        if request is bench_port.Request.POWER_CYCLE:
            self._unit_line.power_cycle()
            return bench_port.PowerCycled()
        return self._unit.attach_debugger()


@contextlib.contextmanager
def only_server_of(folder: Path) -> Iterator[None]:
    """Hold the folder; :class:`ConflictError` when another process does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as problem:
        raise StorageError(problem.strerror or "not writable", subject=str(folder)) from problem
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ConflictError(
            "another process serves these units", subject=str(folder), next_step="Stop it or use another folder"
        ) from None
    try:
        yield
    finally:
        os.close(lock)


async def serve(folder: Path, units: list[Unit], when_ready: Callable[[list[Served]], None]) -> None:
    """Serve until SIGINT or SIGTERM; then the lines are taken away. The caller holds the folder.

    Raises :class:`StorageError` when a unit's state can no longer be written: a unit that forgets must not go on.
    """
    stop = asyncio.Event()
    failures: list[Exception] = []

    def fail(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        failures.append(context["exception"])
        stop.set()

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(fail)
    for end in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(end, stop.set)
    with contextlib.ExitStack() as lines:

        def opened(name: str) -> SerialLine:
            line = SerialLine(_free(folder / name))
            lines.callback(line.close)
            return line

        served = []
        for number, unit in enumerate(units):
            name = str(number)
            BenchLine(unit, UnitLine(unit, opened(name)), opened(f"{name}.bench"))
            served.append(
                Served(number=number, port=folder / name, bench=folder / f"{name}.bench", hardware_id=unit.hardware_id)
            )
        when_ready(served)
        await stop.wait()
    for failure in failures:
        raise failure


def _free(path: Path) -> Path:
    if path.exists() and not path.is_symlink():
        raise ConflictError("this is where a port is to be", subject=str(path), next_step="Use another folder")
    return path
