"""What ``imprint doctor`` looks at on any machine: versions, clock, disk, serial ports, programs beside ours."""

import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Final

from cryptography.hazmat.backends.openssl import backend
from serial.tools.list_ports import comports

from imprint.cli.finding import Finding, Status
from imprint.clock import to_text

LEAST_FREE: Final = 64 * 2**20  # bytes: about a lot of a thousand units with its firmware
LITTLE_FREE: Final = 2**30
_CLOCK_SLACK: Final = timedelta(minutes=5)  # what time synchronization may take back
_LEAST_PYTHON: Final = (3, 11)
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")
_JUDGES: Final = {"openssl": "certificates", "imgtool": "firmware images"}


def machine_checks(folder: Path, now: datetime) -> Iterator[Finding]:
    """Every check that needs no workspace. ``folder`` is where the data is, or would be."""
    yield check_python(sys.version_info[:3])
    yield check_libraries(metadata.requires("imprint") or ())
    yield Finding(check="OpenSSL", found=f"{backend.openssl_version_text()}, the one that signs")
    yield Finding(check="SQLite", found=sqlite3.sqlite_version)
    yield check_clock(now, datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC), "the program's files")
    yield check_disk(folder, shutil.disk_usage(folder).free)
    yield check_ports([port.device for port in comports()])
    yield from map(check_judge, _JUDGES)


def check_python(version: Sequence[int]) -> Finding:
    """Python is new enough."""
    found = ".".join(map(str, version))
    if tuple(version) < _LEAST_PYTHON:
        return Finding(check="Python", status=Status.FAIL, found=found, next_step="Install Python 3.11 or newer")
    return Finding(check="Python", found=found)


def check_libraries(requirements: Sequence[str]) -> Finding:
    """What the package requires (``name>=version``; what an extra requires is left out) is there, and new enough."""
    wanted = [found.groups() for text in requirements if (found := _REQUIREMENT.fullmatch(text))]
    bad = [
        f"{name} {have or 'is missing'} (wanted {least})"
        for name, least in wanted
        if _older(have := _have(name), least)
    ]
    if bad:
        next_step = "Install imprint again, with pip, into a fresh virtual environment"
        return Finding(check="libraries", status=Status.FAIL, found=", ".join(bad), next_step=next_step)
    return Finding(check="libraries", found=f"all {len(wanted)}, new enough")


def _have(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _older(have: str, least: str) -> bool:
    return _numbers(have) < _numbers(least)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])]


def check_clock(now: datetime, known: datetime, of_what: str) -> Finding:
    """The clock is not before a moment that has surely passed."""
    if now + _CLOCK_SLACK < known:
        return Finding(
            check="clock",
            status=Status.FAIL,
            found=f"{to_text(now)}, but {of_what} are from {to_text(known)}",
            next_step="Set the clock; nothing should be issued under a wrong time",
        )
    return Finding(check="clock", found=to_text(now))


def check_disk(folder: Path, free: int) -> Finding:
    """``free`` bytes are enough for more than the next few units."""
    found = f"{free // 2**20} MiB free at {folder.absolute()}"
    if free < LITTLE_FREE:
        status = Status.FAIL if free < LEAST_FREE else Status.WARN
        return Finding(check="disk", status=status, found=found, next_step="Free some space before the line starts")
    return Finding(check="disk", found=found)


def check_ports(ports: Sequence[str]) -> Finding:
    """This user may open the serial ports that there are. None is fine: not every machine is a bench."""
    closed = [port for port in ports if not os.access(port, os.R_OK | os.W_OK)]
    if closed:
        next_step = "Add this user to the group that owns them, often 'dialout', then log in again"
        return Finding(
            check="serial ports", status=Status.WARN, found=f"not open to you: {', '.join(closed)}", next_step=next_step
        )
    return Finding(check="serial ports", found=", ".join(ports) or "none")


def check_judge(program: str) -> Finding:
    """A program that checks our output is there; none of them is needed to work."""
    path = shutil.which(program)
    found = path or f"not found; with it you can check {_JUDGES[program]} without Imprint (optional)"
    return Finding(check=f"{program} command", found=found)
