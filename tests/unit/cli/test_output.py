"""Results for people and for machines."""

import json
import os
import pty
import subprocess
import sys

import pytest

from imprint.cli.output import note, printable, show

LOT = {
    "lot": "L-1",
    "granted": 24,
    "closed": False,
    "ledger": {"size": 96, "root": None},
    "units": [{"serial": "A1", "tries": 1}, {"serial": "A2", "tries": 12, "why": "self-test"}],
    "stations": [],
}


def test_machines_get_the_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(LOT, as_json=True)
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert json.loads(out) == LOT
    assert err == ""


def test_people_get_fields_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    show(LOT, as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["lot", "L-1"],
        ["granted", "24"],
        ["closed", "no"],
        ["ledger.size", "96"],
        ["ledger.root", "-"],
        ["stations", "-"],
        ["units"],
        ["serial", "tries", "why"],
        ["A1", "1", "-"],
        ["A2", "12", "self-test"],
    ]


def test_a_pipe_gets_whole_values_without_colour(capsys: pytest.CaptureFixture[str]) -> None:
    show({"units": [{"a": "x" * 300, "b": "y" * 300}]}, as_json=False)
    out = capsys.readouterr().out
    assert "x" * 300 + "  " + "y" * 300 in out.replace(" " * 3, "  ")
    assert "\x1b" not in out


def test_text_from_outside_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "[red]a\x1b[2J\nb\u202ec[/red]"
    show({"serial": hostile, hostile: 1, "units": [{hostile: hostile}]}, as_json=False)
    out = capsys.readouterr().out
    assert out.count("[red]a\\x1b[2J\\nb\\u202ec[/red]") == 4
    assert "\x1b" not in out


def test_a_note_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    note("serving\x07 V/0\nV/1")
    assert capsys.readouterr() == ("", "serving\\x07 V/0\\nV/1\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), ("", "-"), (True, "yes"), (0, "0"), (1.5, "1.5"), ([], "-"), (["a", 2], "a, 2"), ("é\t", "é\\t")],
)
def test_printable(value: object, text: str) -> None:
    assert printable(value) == text


def on_a_terminal(result: str) -> bytes:
    """What a terminal gets to show of this result."""
    ours, theirs = pty.openpty()
    program = [sys.executable, "-c", f"from imprint.cli.output import show; show({result}, as_json=False)"]
    plain = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    subprocess.run(program, stdout=theirs, env=plain | {"TERM": "xterm", "COLUMNS": "80"}, check=True)
    os.close(theirs)
    with os.fdopen(ours, "rb") as terminal:
        return terminal.read1()


def test_a_terminal_gets_bold_names() -> None:
    assert b"\x1b[1mlot" in on_a_terminal("{'lot': 1}")


def test_a_terminals_tables_have_short_hashes_and_its_fields_whole_ones() -> None:
    digest = "0123456789abcdef" * 4
    entry = {"leaf": digest, "body": f'{{"record":"{digest}"}}', "serial": f"SN-{digest}"}
    shown = on_a_terminal(repr({"root": digest, "entries": [entry]})).decode()
    field, table = shown.split("entries")
    assert digest in field
    assert table.count("0123456789abcdef…") == 2
    assert digest not in table.replace(f"SN-{digest}", "")


def test_a_pipes_tables_have_whole_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    show({"entries": [{"leaf": "ab" * 32}]}, as_json=False)
    assert "ab" * 32 in capsys.readouterr().out
