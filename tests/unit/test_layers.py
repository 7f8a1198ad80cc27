"""Imports point one way. One table says who may know whom; the syntax tree of every module is held against it, so that
an import inside a function, under ``TYPE_CHECKING`` or by ``import_module`` counts as well.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"

FOUNDATION = ("errors", "encoding", "clock")
COMMON = (*FOUNDATION, "formats", "protocol", "keys.signer", "keys.verify")
PLATFORM = (*COMMON, "keys", "authority", "station", "virtual", "storage")

# room -> the rooms that it may import, besides itself. A room is a module or folder with all that is in it, except
# for what has a line of its own. A module without a line, and a line that is not mentioned, are out of bounds.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "": (),
    "errors": (),
    "encoding": ("errors",),
    "clock": ("errors",),
    "formats": (*FOUNDATION, "protocol"),
    "protocol": (*FOUNDATION, "formats"),
    "keys.signer": (*FOUNDATION, "formats"),
    "keys.verify": (*FOUNDATION, "formats"),
    "keys": (*FOUNDATION, "formats", "keys.signer", "keys.verify"),  # the key stores and the choice among them
    "authority.ledger": COMMON,
    "authority.decisions": (*COMMON, "authority.ledger"),
    "authority.issuance": (*COMMON, "authority.ledger", "authority.decisions"),
    "authority.access": (*COMMON, "authority.ledger", "authority.decisions", "authority.issuance"),
    "authority.releases": (*COMMON, "authority.ledger", "authority.decisions", "authority.issuance"),
    "authority.production": (*COMMON, "authority.ledger", "authority.decisions", "authority.issuance"),
    "authority.recovery": (
        *(*COMMON, "authority.ledger", "authority.decisions", "authority.issuance", "authority.access"),
        "authority.production",
    ),
    "authority.views": (
        *(*COMMON, "authority.ledger", "authority.decisions", "authority.issuance", "authority.access"),
        *("authority.releases", "authority.production"),
    ),
    "authority": COMMON,  # authority/__init__.py: the rooms have a line each
    "https": FOUNDATION,
    "station": (*COMMON, "https"),
    "person": (*COMMON, "https", "storage.files"),
    "virtual": COMMON,
    "storage": (*COMMON, "authority.ledger", "authority.decisions", "storage.files"),
    "storage.files": FOUNDATION,
    "reader": (*COMMON, "authority", "storage"),
    "assemble": (*PLATFORM, "reader"),
    "make_workspace": PLATFORM,
    "enrol": (*COMMON, "keys", "storage", "station"),
    "make_checkpoints": ("assemble",),
    "service": (*COMMON, "authority", "reader"),  # who listens reads; the two lines below are of who decides
    "service.decider": (*COMMON, "authority", "assemble", "service"),
    "service.serve": (*COMMON, "assemble", "make_checkpoints", "service"),
    "verify_ledger": (*PLATFORM, "assemble", "reader"),
    "verify_record": (*PLATFORM, "assemble", "reader"),
    "make_backup": (*PLATFORM, "assemble", "reader", "verify_ledger"),
    "restore_backup": (*PLATFORM, "assemble", "reader"),
    "lost_decisions": (*PLATFORM, "assemble", "reader", "verify_record"),
    "reconcile_ledger": (*PLATFORM, "assemble", "reader", "lost_decisions"),
    "testing": (*PLATFORM, "assemble", "reader", "make_workspace"),
    "cli": (
        *(
            *PLATFORM,
            "assemble",
            "reader",
            "make_workspace",
            "service",
            "enrol",
            "person",
            "https",
            "verify_ledger",
            "verify_record",
        ),
        *("make_checkpoints", "make_backup", "restore_backup", "reconcile_ledger", "testing"),
    ),
    "__main__": ("cli",),
}

# What comes from outside and belongs to some rooms alone.
OWNERS = {
    "typer": ("cli",),
    "rich": ("cli",),
    "getpass": ("cli",),
    "sqlalchemy": ("storage",),
    "alembic": ("storage",),
    "starlette": ("service",),
    "uvicorn": ("service",),
    "prometheus_client": ("service",),
    "structlog": ("service", "service.decider", "service.serve"),
    "httpx": ("https", "station", "person", "enrol"),
}
PURE = ("errors", "encoding", "clock", "formats", "protocol")
EFFECTS = frozenset(
    {"asyncio", "logging", "os", "pathlib", "random", "secrets", "shutil", "signal", "socket", "sqlite3"}
    | {"subprocess", "sys", "tempfile", "threading", "time"}
)
TALKATIVE = frozenset({"print", "input", "exit", "quit", "breakpoint", "sys.exit", "os._exit"})
MAY_TALK = ("cli", "__main__")
OPENING = frozenset({"open", "io.open"})  # io.StringIO is no file
MAY_CHOOSE_AT_RUN_TIME = "imprint.cli"


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What a module's source does against the rules."""
    tree = ast.parse(source)
    room = room_of(module)
    if room is None:
        return [f"{module}: no rule covers it"]
    found = [
        f"{module}:{line}: {target}"
        for line, target in imports(tree, module, is_package=is_package)
        if not may_import(room, target)
    ]
    if room not in MAY_TALK:
        found += [f"{module}:{call.lineno}: {name}()" for call, name in calls(tree) if name in TALKATIVE]
    if room in PURE:
        found += [f"{module}:{call.lineno}: {name}()" for call, name in calls(tree) if name in OPENING]
    if module != MAY_CHOOSE_AT_RUN_TIME:
        found += [
            f"{module}:{call.lineno}: an import chosen at run time"
            for call, name in calls(tree)
            if is_import(name) and named(call) is None
        ]
    return found


def may_import(room: str, target: str) -> bool:
    outer, _, inner = target.partition(".")
    if outer == "imprint":
        wanted = room_of(target)
        return wanted is not None and inner != "" and covers((room, *MAY_IMPORT[room]), wanted)
    return room in OWNERS.get(outer, (room,)) and not (room in PURE and outer in EFFECTS)


def room_of(name: str) -> str | None:
    """The line of the table that a module, or a name in one, falls under: the longest that fits."""
    inner = name.removeprefix("imprint").removeprefix(".")
    fitting = [room for room in MAY_IMPORT if room == inner or (room and inner.startswith(room + "."))]
    return max(fitting, key=len, default=None)


def covers(allowed: tuple[str, ...], wanted: str) -> bool:
    """``keys`` covers ``keys.signer``. ``authority`` covers its rooms for those outside, not for its own __init__."""
    return wanted in allowed or any(wanted.startswith(room + ".") for room in allowed[1:])


def imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of all that is imported, wherever it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")[: None if is_package else -1]
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)
    for call, name in calls(tree):
        if is_import(name) and (target := named(call)) is not None:
            yield call.lineno, target


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    return ((node, ast.unparse(node.func)) for node in ast.walk(tree) if isinstance(node, ast.Call))


def is_import(function: str) -> bool:
    return function.rpartition(".")[2] in {"import_module", "__import__"}


def named(call: ast.Call) -> str | None:
    """The constant that an ``import_module`` names."""
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def test_the_house_keeps_its_rules() -> None:
    found = []
    for path in sorted((SOURCE / "imprint").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        found += violations(module, path.read_text(), is_package=is_package)
    assert found == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        # formats and protocol know nobody
        ("formats.x509", "from imprint.keys.signer import Signer"),
        ("formats.x509", "import imprint.authority.ledger.envelope"),
        ("formats.x509", "from pathlib import Path"),
        ("formats.x509", "import time as t"),
        ("formats.x509", "def f(path):\n    with open(path) as file:\n        return file.read()"),
        ("formats.x509", "import io\nio.open('x')"),
        ("protocol.codec", "from imprint.station import runner"),
        ("protocol.codec", "import os.path"),
        ("errors", "from imprint.encoding import canonical"),
        ("clock", "from imprint.formats import der"),
        # three programs that never import each other
        ("authority.production.claim", "from imprint.station.runner import run"),
        ("authority.production.claim", "from imprint.virtual import unit"),
        ("station.runner", "from imprint.authority.decisions import kernel"),
        ("station.targets.smp", "from imprint.virtual.unit import Unit"),
        ("virtual.server", "import imprint.station.targets.smp"),
        ("virtual.server", "import imprint.authority"),
        # nor can who listens decide
        ("service.front", "from imprint.assemble import Platform"),
        ("service.app", "from imprint.keys.uri import open_signer"),
        ("reader", "from imprint.assemble import open_platform"),
        # nor does a person's client know what is behind the service
        ("person.remote_authority", "from imprint.authority.production.commands import DefineProduct"),
        ("person.remote_authority", "from imprint.assemble import Platform"),
        ("person.remote_authority", "from imprint.station.remote_authority import RemoteAuthority"),
        ("person.open_requests", "from imprint.storage.database import Database"),
        ("authority.access.account", "from imprint.person.open_requests import OpenRequests"),
        # the order inside the authority
        ("authority.ledger.replay", "from imprint.authority.decisions.kernel import decide"),
        ("authority.decisions.kernel", "from imprint.authority.issuance import issuer"),
        ("authority.issuance.issuer", "from imprint.authority.production import lot"),
        ("authority.issuance.issuer", "from imprint.authority.releases import release"),
        ("authority.production.lot", "from imprint.authority.releases.release import seal"),
        ("authority.releases.release", "from imprint.authority.production.lot import Lot"),
        ("authority", "from imprint.authority.decisions.kernel import decide"),
        # storage and key stores are chosen in one place
        ("authority.decisions.kernel", "from imprint.storage.database import Database"),
        ("station.journal", "from imprint.storage import files"),
        ("authority.issuance.issuer", "from imprint.keys.file import open_key_file"),
        ("authority.issuance.issuer", "from imprint.keys import file"),
        ("authority.issuance.issuer", "from imprint.keys.pkcs11 import Session"),
        ("station.runner", "from imprint.keys.uri import open_signer"),
        ("keys.signer", "from imprint.keys.file import open_key_file"),
        ("storage.database", "from imprint.authority.production.lot import Lot"),
        ("storage.database", "from imprint.station.journal import Journal"),
        ("authority.ledger.tables", "import sqlalchemy as sa"),
        ("station.journal", "from alembic import command"),
        # nobody imports the command line, the assembly or the test doubles
        ("assemble", "from imprint.cli.output import show"),
        ("testing.factory", "from imprint.cli import main"),
        ("authority.decisions.kernel", "from imprint.assemble import open_platform"),
        ("assemble", "from imprint.testing.factory import Factory"),
        ("storage.database", "from imprint.__main__ import main"),
        ("station.runner", "from rich.table import Table"),
        ("assemble", "from getpass import getpass"),
        # nothing below the command line prints, prompts or exits
        ("station.runner", "print('done')"),
        ("assemble", "def f():\n    return input('passphrase? ')"),
        ("virtual.server", "import sys\nsys.exit(1)"),
        # by every way in
        ("station.runner", "def later():\n    from imprint.authority import ledger"),
        ("station.runner", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import imprint.virtual.unit"),
        ("station.runner", "from ..authority.ledger import envelope"),
        ("station.runner", "from .. import virtual"),
        ("station.runner", "from imprint import virtual"),
        ("station.runner", "from imprint.authority import *"),
        ("station.runner", "import imprint"),
        ("station.runner", "import importlib\nimportlib.import_module('imprint.virtual.unit')"),
        ("station.runner", "unit = __import__('imprint.virtual.unit')"),
        ("station.runner", "from importlib import import_module\nimport_module(name)"),
        ("station.runner", "class A:\n    async def f(self):\n        import imprint.storage as s"),
        # every folder has a rule
        ("newcomer", "pass"),
        ("station.runner", "import imprint.newcomer"),
        ("newcomer.deep.module", "from imprint.errors import InputError"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str) -> None:
    assert len(violations(f"imprint.{module}", source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "formats.x509",
            "from imprint.encoding import sha256\nfrom imprint.protocol.evidence import Grade\nimport struct",
        ),
        ("station.targets.smp", "from imprint.formats import bench_port\nfrom imprint.station.recipe import Recipe"),
        ("authority.production.claim", "from imprint.authority.issuance.issuer import DeviceCa\nimport os"),
        (
            "authority.ledger.replay",
            "from . import envelope\nfrom .envelope import seal\nfrom ...keys.signer import Signer",
        ),
        ("storage.database", "import sqlalchemy\nfrom imprint.authority.decisions.transaction import Store"),
        ("assemble", "from imprint.keys.uri import open_signer\nfrom imprint.storage import database"),
        ("assemble", "from imprint.authority.production import claim\nfrom imprint.keys.signer import Signer"),
        ("cli.lot", "import rich\nfrom imprint.assemble import open_platform\nprint('done')"),
        ("keys.file", "from imprint.keys.signer import Signer"),
        ("formats.firmware", "import io\nio.StringIO('')"),
    ],
)
def test_what_is_allowed_is_let_through(module: str, source: str) -> None:
    assert violations(f"imprint.{module}", source) == []
