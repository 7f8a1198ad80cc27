"""What every command promises: an example that works, and JSON for machines."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from imprint.cli import NOUNS, load

FOR_PEOPLE_ALONE = {"product template", "recipe show"}  # they print a file


def commands() -> Iterator[tuple[str, Any]]:
    for noun in NOUNS:
        command = load(noun)
        if noun.has_verbs:
            yield from ((f"{noun.name} {verb}", one) for verb, one in command.commands.items())
        else:
            yield noun.name, command


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_its_example_is_a_command_line_that_it_accepts(name: str, command: Any) -> None:
    _, found, example = command.help.partition("Example: imprint ")
    assert found, "no example"
    words = shlex.split(example.splitlines()[0].partition(">")[0])
    if words[0] == "-C":
        words = words[2:]
    verb = name.split()
    assert words[: len(verb)] == verb
    command.make_context(name, words[len(verb) :])


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_it_answers_machines(name: str, command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    assert ("--json" in options) == (name not in FOR_PEOPLE_ALONE)


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_no_word_of_its_help_is_lost(name: str, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Words in brackets are taken for colours."""
    with pytest.raises(typer.Exit):
        command.make_context(name, ["--help"])
    shown = set(re.findall(r"\w+", capsys.readouterr().out))
    for parameter in command.params:
        said = getattr(parameter, "help", None) or ""
        assert set(re.findall(r"\w+", said)) <= shown, (name, parameter.name)


def test_no_command_takes_a_passphrase_as_an_argument() -> None:
    for name, command in commands():
        for parameter in command.params:
            if "passphrase" in parameter.name:
                assert parameter.name.endswith(("_file", "_fd")), name
