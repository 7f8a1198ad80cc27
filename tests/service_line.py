"""A service as its processes: ``imprint serve`` on a workspace, and clients that enrolled with it."""

import json
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from imprint.assemble import Platform
from imprint.https import client_tls
from imprint.service.decider import Decider
from imprint.service.question import Question, Reply
from production_line import IMPRINT, PASSPHRASE, PATIENCE_S, Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that runs."""

    line: Line
    process: "subprocess.Popen[str]"
    url: str
    enrol_url: str
    log: Path

    def invite(self, name: str, role: str) -> str:
        """An invitation from the workspace's own command line."""
        done = command(self.line, "account", "invite", name, "--role", role)
        return str(done["invitation"])

    def enrol(self, name: str, role: str = "station") -> Path:
        """An enrolled folder for a new account."""
        folder = self.line.folder / name
        give(folder.with_suffix(".invitation"), self.invite(name, role))
        done = enrolling(self, folder)
        assert done.returncode == 0, done.stderr
        return folder

    @contextmanager
    def client(self, folder: Path) -> Iterator[httpx.Client]:
        """An HTTP client with an enrolled folder's certificate."""
        with httpx.Client(base_url=self.url, verify=client_tls(folder, PASSPHRASE), timeout=30) as client:
            yield client


def asker(platform: Platform) -> Callable[[Question], Awaitable[Reply]]:
    """What the listening process asks, in one process with the deciding one."""
    decider = Decider(platform)

    async def ask(question: Question) -> Reply:
        (reply,) = decider.decide([question])
        if reply.error is not None:
            raise reply.error
        return reply

    return ask


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that nobody listens at; the service takes them again and again."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)


def give(file: Path, text: str) -> None:
    """A private file."""
    file.touch(mode=0o600)
    file.write_text(text + "\n")


def enrolling(service: Service, folder: Path) -> "subprocess.CompletedProcess[str]":
    """``imprint station enrol`` with the invitation beside the folder."""
    words = ("station", "enrol", service.enrol_url, "--dir", str(folder), "--json")
    secrets = ("--invitation-file", str(folder.with_suffix(".invitation")))
    passphrase = ("--passphrase-file", str(service.line.passphrase_file))
    return subprocess.run(
        [*IMPRINT, *words, *secrets, *passphrase], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


def command(line: Line, *words: str) -> dict[str, Any]:
    """A command in the workspace, with its passphrase; what it says as JSON."""
    passphrase = ("--passphrase-file", str(line.passphrase_file), "--json")
    done = subprocess.run(
        [*IMPRINT, "-C", str(line.workspace), *words, *passphrase],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@contextmanager
def serving(line: Line, *, ports: Sequence[int] = (0, 0), program: Sequence[str] = IMPRINT) -> Iterator[Service]:
    """The workspace as a service, until the context ends; a service that still runs then must end well."""
    listen = ("--listen", f"127.0.0.1:{ports[0]}", "--enrol", f"127.0.0.1:{ports[1]}")
    secret = ("--passphrase-file", str(line.passphrase_file))
    log = line.folder / "service.log"
    with log.open("a") as stderr:
        process = subprocess.Popen(
            [*program, "-C", str(line.workspace), "serve", *listen, "--json", *secret],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready, log.read_text()[-2000:]
        found = json.loads(ready)
        yield Service(line=line, process=process, url=found["url"], enrol_url=found["enrol"], log=log)
        if process.poll() is None:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0, log.read_text()[-2000:]
    finally:
        process.kill()
        process.communicate()
