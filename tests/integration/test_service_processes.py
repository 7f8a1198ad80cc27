"""The two processes of the service: what each has in its memory, and what becomes of one without the other."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from production_line import IMPRINT, PASSPHRASE, Line, make_line
from secret_scan import key_secrets, needles
from service_line import Service, serving

KEYS = ("device-ca", "ledger", "record", "firmware", "access-ca")
PATIENCE_S = 30


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    return make_line(tmp_path_factory.mktemp("processes"), count=3)


def listening(service: Service) -> psutil.Process:
    (child,) = psutil.Process(service.process.pid).children()
    return child


def memory(pid: int) -> Iterator[bytes]:
    """All that a process can write to."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as file:
        for start, end in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", maps, re.MULTILINE):
            file.seek(int(start, 16))
            try:
                yield file.read(int(end, 16) - int(start, 16))
            except OSError:  # a mapping of the kernel's own
                continue


def found_in(pid: int, secrets: Sequence[tuple[str, bytes]]) -> set[str]:
    pieces = list(memory(pid))
    return {name for name, data in secrets if any(data in piece for piece in pieces)}


def secrets_of(line: Line, name: str) -> list[tuple[str, bytes]]:
    key = load_pem_private_key((line.workspace / "keys" / f"{name}.pem").read_bytes(), PASSPHRASE)
    found = needles(key_secrets(name, key))  # type: ignore[arg-type]
    return [(name, each.data) for each in found if each.name.endswith((" raw", " little-endian"))]


def test_who_listens_has_no_signing_key(line: Line) -> None:
    with serving(line) as service:
        signing = [each for name in KEYS for each in secrets_of(line, name)]
        assert found_in(service.process.pid, signing) == set(KEYS), "the search finds what is there"
        child = listening(service).pid
        assert found_in(child, [*signing, ("passphrase", PASSPHRASE)]) == set()
        assert found_in(child, secrets_of(line, "service")) == {"service"}, "and finds it there, too"


def test_whoever_loses_the_other_ends(line: Line) -> None:
    with serving(line) as service:
        child = listening(service)
        service.process.kill()
        child.wait(PATIENCE_S)
    with serving(line) as service:
        listening(service).kill()
        assert service.process.wait(PATIENCE_S) == 1
        last = json.loads(service.log.read_text().splitlines()[-1])["error"]
        assert "listens has ended" in last["what"]
        assert last["next_step"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signal_to_one_or_to_both(line: Line, number: signal.Signals) -> None:
    with serving(line) as service:
        child = listening(service)
        if number is signal.SIGINT:
            child.send_signal(number)  # as a terminal does
        service.process.send_signal(number)
        assert service.process.wait(PATIENCE_S) == 0, service.log.read_text()[-2000:]
        assert not child.is_running()


def test_a_wrong_passphrase_leaves_nobody_listening(line: Line, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("another passphrase\n")
    words = ("serve", "--listen", "127.0.0.1:0", "--enrol", "127.0.0.1:0", "--passphrase-file", str(wrong))
    process = subprocess.Popen([*IMPRINT, "-C", str(line.workspace), *words], stderr=subprocess.PIPE, text=True)
    _, told = process.communicate(timeout=PATIENCE_S)  # ends when nobody holds its stderr any more
    assert process.returncode == 7, told
    assert "passphrase" in told
    assert "Traceback" not in told


def test_stopped_while_the_passphrase_is_asked_for(line: Line) -> None:
    reading, writing = os.pipe()
    words = ("serve", "--listen", "127.0.0.1:0", "--enrol", "127.0.0.1:0", "--passphrase-fd", str(reading))
    process = subprocess.Popen(
        [*IMPRINT, "-C", str(line.workspace), *words], stderr=subprocess.PIPE, text=True, pass_fds=(reading,)
    )
    while not psutil.Process(process.pid).children():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode not in (0, None)
    assert "Traceback" not in told, told
    os.close(reading)
    os.close(writing)
