"""The command line as a whole: its nouns, its global options, its start."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer

from imprint import cli
from imprint.cli import NOUNS, Noun, load, run, workspace_folder


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.name)
def test_every_noun_loads_and_explains_itself(noun: Noun, capsys: pytest.CaptureFixture[str]) -> None:
    assert load(noun).name == noun.name
    with pytest.raises(typer.Exit):
        run([noun.name, "--help"])
    shown = capsys.readouterr().out
    assert f"Usage: imprint {noun.name}" in shown
    assert "--install-completion" not in shown


def test_no_command_is_left_out_of_the_table() -> None:
    modules = Path(cli.__file__).parent.glob("[!_]*.py")
    with_app = {path.stem for path in modules if "typer.Typer(" in path.read_text()}
    assert with_app <= {noun.name for noun in NOUNS}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that ``imprint doctor`` was asked to work in, with a doctor that only remembers."""
    folders: list[Path] = []
    app = typer.Typer(add_completion=False)

    @app.command()
    def doctor(ctx: typer.Context) -> None:
        folders.append(workspace_folder(ctx))

    module = ModuleType("imprint.cli.doctor")
    vars(module)["app"] = app
    monkeypatch.setitem(sys.modules, "imprint.cli.doctor", module)
    monkeypatch.delenv("IMPRINT_HOME", raising=False)
    return folders


def test_the_workspace_is_the_option_else_the_variable_else_here(
    seen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["doctor"])
    monkeypatch.setenv("IMPRINT_HOME", "~/factory")
    run(["doctor"])
    run(["-C", "/a", "doctor"])
    run(["--workspace", "/b", "doctor"])
    assert seen == [Path(), Path.home() / "factory", Path("/a"), Path("/b")]


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["lots"], "Did you mean 'lot'"),
        (["--workspace"], "requires an argument"),
        (["doctor", "--none"], "No such option"),
        (["doctor", "more"], "unexpected extra argument"),
    ],
)
def test_wrong_command_lines_say_so(seen: list[Path], args: list[str], word: str) -> None:
    with pytest.raises(typer.TyperException) as caught:
        run(args)
    assert word in caught.value.format_message()
    assert seen == []
