"""What ``imprint doctor`` looks at on any machine: versions, clock, disk, serial ports, programs beside ours."""

import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

import imprint
from imprint.cli.finding import Finding, Status
from imprint.clock import to_text

LEAST_FREE: Final = 64 * 2**20  # bytes: a lot of a thousand units with its firmware
LITTLE_FREE: Final = 2**30
_LEAST_PYTHON: Final = (3, 11)
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)$")
_JUDGES: Final = {"openssl": "certificates", "imgtool": "firmware images"}


def machine_checks(folder: Path, now: datetime) -> Iterator[Finding]:
    """Every check that needs no workspace. ``folder`` is where the data is, or would be."""
    yield check_python(sys.version_info[:3])
    yield check_libraries(metadata.requires("imprint") or ())
    yield check_cryptography()
    yield check_clock(now, Path(imprint.__file__))
    yield check_disk(folder)
    yield check_ports()
    yield from check_judges()


def check_python(version: Sequence[int]) -> Finding:
    """Python is new enough."""
    found = ".".join(map(str, version))
    if tuple(version) < _LEAST_PYTHON:
        return Finding(check="Python", status=Status.FAIL, found=found, next_step="Install Python 3.11 or newer")
    return Finding(check="Python", found=found)


def check_libraries(requirements: Sequence[str]) -> Finding:
    """What the package asks for is there, and new enough; requirements of extras are left out."""
    wanted = [found for text in requirements if (found := _REQUIREMENT.match(text))]
    bad = [
        f"{name} {have or 'missing'}, not {least}" for name, least, have in map(_installed, wanted) if bad_(have, least)
    ]
    if bad:
        return Finding(
            check="libraries", status=Status.FAIL, found="; ".join(bad), next_step="Install imprint again with pip"
        )
    return Finding(
        check="libraries", found=f"{len(wanted)}, all as new as they must be; SQLite {sqlite3.sqlite_version}"
    )
