"""How a failed command ends: the exit code, the line for people, the object for machines."""

import json
import re
from pathlib import Path

import pytest
import typer

from imprint import errors
from imprint.cli.errors import DEFECT, EXIT_CODES, INTERRUPTED, PIPE_CLOSED, USAGE, describe, exit_code_of
from imprint.errors import FormatError, ImprintError, PassphraseError, RefusedError, UnitSilent

DOCUMENT = Path(__file__).parents[3] / "docs" / "exit-codes.md"
SECRET = "hunter2-hunter2"


def failing(error: BaseException) -> int:
    def command() -> None:
        raise error

    return exit_code_of(command, as_json=False)


def all_errors() -> list[type[ImprintError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ImprintError)]


@pytest.mark.parametrize("kind", [kind for kind in all_errors() if kind is not ImprintError])
def test_every_error_of_the_tree_has_an_exit_code_of_its_own_branch(kind: type[ImprintError]) -> None:
    error = kind("no", code="lot-closed") if kind is RefusedError else kind("no")
    nearest = next(parent for parent in kind.__mro__ if parent in EXIT_CODES)
    assert describe(error).exit_code == EXIT_CODES[nearest]


def test_exit_codes_are_distinct() -> None:
    codes = [0, DEFECT, USAGE, *EXIT_CODES.values(), INTERRUPTED, PIPE_CLOSED]
    assert len(set(codes)) == len(codes)


def test_the_document_lists_exactly_these_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| (?:`(\w+)`)?", DOCUMENT.read_text(), re.MULTILINE)
    documented = {(int(code), name) for code, name in rows}
    named = {(code, kind.__name__) for kind, code in EXIT_CODES.items()}
    assert documented == named | {
        (0, ""), (DEFECT, ""), (USAGE, "UsageError"), (INTERRUPTED, "Interrupted"), (PIPE_CLOSED, "")
    }  # fmt: skip


def test_people_read_one_line_and_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(FormatError("not CBOR", subject="unit\n7", next_step="Read it again")) == 3
    assert capsys.readouterr() == ("", "imprint: unit\\n7: not CBOR\nRead it again\n")


def test_machines_read_one_object_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise RefusedError("the lot is closed", code="lot-closed", subject="lot 4", next_step="Open another")

    assert exit_code_of(command, as_json=True) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == {
        "error": {
            "kind": "RefusedError",
            "what": "the lot is closed",
            "subject": "lot 4",
            "next_step": "Open another",
            "rule": "lot-closed",
            "exit_code": 4,
        }
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (typer.BadParameter("no"), USAGE),
        (typer.Exit(7), 7),
        (typer.Abort(), INTERRUPTED),
        (KeyboardInterrupt(), INTERRUPTED),
        (BrokenPipeError(), PIPE_CLOSED),
        (PermissionError(13, "Permission denied", "/x"), 9),
        (PassphraseError("no"), 7),
        (UnitSilent("no"), 11),
        (ImprintError("no"), DEFECT),
        (RuntimeError("no"), DEFECT),
    ],
)
def test_code_of(error: BaseException, code: int) -> None:
    assert failing(error) == code


def test_a_defect_is_told_without_its_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMPRINT_TRACEBACK", raising=False)
    failing(ValueError(SECRET))
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    assert "ValueError" in err
    assert "IMPRINT_TRACEBACK=1" in err


def test_the_traceback_shows_frames_but_no_variables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPRINT_TRACEBACK", "1")

    def command() -> None:
        passphrase = "".join(["hunter2", "-", "hunter2"])
        raise RuntimeError(f"{len(passphrase)} characters")

    assert exit_code_of(command, as_json=False) == DEFECT
    err = capsys.readouterr().err
    assert "test_exit_codes.py" in err
    assert SECRET not in err
