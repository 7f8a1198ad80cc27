"""Every command of the README and of the pages on tasks is run, page by page, and prints what its page shows."""

import re
import shutil
from pathlib import Path

import pytest
from page import Step, blocks, comes_after, plain, steps
from shell import Shell

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "tasks").glob("*.md"))]
# What sets up the program itself is run by whoever runs this test.
NOT_RUN_HERE = {"cd imprint", "make setup", "make demo", "make test", 'export PATH="$PWD/.venv/bin:$PATH"'}


class Reader:
    """Follows pages, each once and all in one place, and keeps a copy of the place as each leaves it.

    In one place, since a workspace may name a checkpoint outside it, which a second workspace must not overwrite.
    """

    def __init__(self, folder: Path) -> None:
        self._home = folder / "home"
        self._scratch = folder / "scratch"
        self._left = folder / "left"
        self._scratch.mkdir()

    def follow(self, page: Path) -> Path:
        """Run the page's commands; a copy of the folder in which they ran."""
        left = self._left / page.stem
        if not left.exists():
            before = comes_after(page)
            start = self.follow(before) if before else None
            shutil.rmtree(self._home, ignore_errors=True)
            if start:
                shutil.copytree(start, self._home)
            else:
                self._home.mkdir()
            with Shell(self._home, self._scratch) as shell:
                for step in steps(page.read_text()):
                    shell.run(step)
            shutil.copytree(self._home, left)
        return left


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("reader"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_reader_who_follows_the_page_gets_there(reader: Reader, page: Path) -> None:
    assert any(steps(page.read_text())), "a page on a task shows commands"
    reader.follow(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_command_escapes(page: Path) -> None:
    text = page.read_text()
    left_out = {line for content, _ in blocks(text, "sh", "bash", "shell") for line in content.splitlines() if line}
    assert left_out <= NOT_RUN_HERE
    shown = re.findall(r"^ *\$ ", text, re.MULTILINE)
    assert len(shown) == len(list(steps(text))), "a command stands outside a block"


@pytest.mark.parametrize(
    ("command", "output", "problem"),
    [
        ("echo one", ("two",), "the page shows:\ntwo"),
        ("echo one; echo two", ("one",), "the page shows:\none"),
        ("false", (), "exit code 1, not 0"),
        ("echo one & sleep 1; exit 3", (), "invalid literal"),
    ],
)
def test_a_page_that_is_wrong_fails(tmp_path: Path, command: str, output: tuple[str, ...], problem: str) -> None:
    with Shell(tmp_path, tmp_path) as shell, pytest.raises((AssertionError, ValueError), match=re.escape(problem)):
        shell.run(Step(command=command, output=output))


def test_what_may_differ() -> None:
    said = plain("unit 0123456789abcdef at 2026-11-21T12:00:00.000Z\n\n  free:  12 MiB\nlast\n")
    for shown, fits in [
        (("unit fedcba9876543210 at 2027-01-01T00:00:00.000Z", "free: 12 MiB", "last"), True),
        (("unit 01234567… at …", "…"), True),
        (("…", "last"), True),
        (("…", "first"), False),
        (("unit 0123456789abcdef at 2026-11-21T12:00:00.000Z", "last"), False),
        (("unit abc at 2026-11-21T12:00:00.000Z", "…"), False),
    ]:
        assert (Step(command="", output=shown).pattern().fullmatch(said) is not None) == fits, shown
