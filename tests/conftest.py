"""Settings and fixtures of all tests."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from command_line import CommandLine
    from soft_factory import Factory

# A machine that is shared is slow at times: how long things take is for the benchmarks to say. The short form runs with
# every change, the long one with ``make fuzz``.
settings.register_profile("short", deadline=None, max_examples=25)
settings.register_profile("long", deadline=None, max_examples=5000, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("IMPRINT_EXAMPLES", "short"))


@pytest.fixture(scope="session")
def factory_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one lot, to be copied."""
    from soft_factory import make_template

    return make_template(tmp_path_factory.mktemp("template") / "workspace")


@pytest.fixture
def factory(factory_template: Path, tmp_path: Path) -> Iterator["Factory"]:
    """A factory with one lot, all of its own."""
    from soft_factory import copied_factory

    with copied_factory(factory_template, tmp_path / "factory") as made:
        yield made


@pytest.fixture(scope="session")
def built_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed: see :func:`command_line.build_workspace`."""
    from command_line import build_workspace

    folder = tmp_path_factory.mktemp("built") / "workspace"
    build_workspace(folder)
    return folder


@pytest.fixture(scope="session")
def built_export(built_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed: the export of the same lot, closed in a copy."""
    from command_line import build_export, copied

    folder = tmp_path_factory.mktemp("exported")
    return build_export(copied(built_workspace, folder / "workspace"), folder / "export")


@pytest.fixture
def imprint(
    built_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> "CommandLine":
    """The command line in a copy of the workspace, which is the test's own; the current folder is empty."""
    from command_line import PASSPHRASE, CommandLine, copied

    monkeypatch.delenv("IMPRINT_HOME", raising=False)
    secret = tmp_path / "passphrase"
    secret.touch(mode=0o600)
    secret.write_text(PASSPHRASE + "\n")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    workspace = copied(built_workspace, tmp_path / "workspace")
    return CommandLine(workspace=workspace, passphrase_file=secret, capsys=capsys)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the garbage collector need not walk over it again and again."""
    gc.collect()
    gc.freeze()
