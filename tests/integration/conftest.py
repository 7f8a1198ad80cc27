"""Fixtures of the integration tests."""

from pathlib import Path

import pytest
from command_line import LOT, PASSPHRASE, CommandLine, build_workspace, copied

from imprint.assemble import open_platform, open_reader
from imprint.cli.lot import close_lot, export_lot


@pytest.fixture(scope="session")
def built_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed: see :func:`command_line.build_workspace`."""
    folder = tmp_path_factory.mktemp("built") / "workspace"
    build_workspace(folder)
    return folder


@pytest.fixture(scope="session")
def built_export(built_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed: the export of the same lot, closed in a copy."""
    folder = tmp_path_factory.mktemp("exported")
    workspace = copied(built_workspace, folder / "workspace")
    with open_platform(workspace, PASSPHRASE.encode) as platform:
        close_lot(platform, LOT)
    export_lot(open_reader(workspace), LOT, folder / "export")
    return folder / "export"


@pytest.fixture
def imprint(
    built_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """The command line in a copy of the workspace, which is the test's own; the current folder is empty."""
    monkeypatch.delenv("IMPRINT_HOME", raising=False)
    secret = tmp_path / "passphrase"
    secret.touch(mode=0o600)
    secret.write_text(PASSPHRASE + "\n")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    workspace = copied(built_workspace, tmp_path / "workspace")
    return CommandLine(workspace=workspace, passphrase_file=secret, capsys=capsys)
