"""A page of the documentation as a story: its commands, and what each of them is said to print.

In a block ```` ```console ```` a line that begins with ``$ `` is a command; it goes on after a backslash and up to the
end of a here-document. The lines below it are its output. A block ```` ```console exit=4 ```` holds one command, which
fails with this code. Output is compared loosely: ``…`` stands for anything, on a line of its own for any lines; hashes,
times, sizes of free space and blanks may differ. Output that is not shown is not compared.

Commands in ```` ```sh ```` are not run here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r"^( *)```(\w+)(?: exit=(\d+))?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_HEREDOC: Final = re.compile(r"<<'?(\w+)'?")
_CONTINUES: Final = re.compile(r"^Goes on where \[[^\]]+\]\(([^)]+)\) ends", re.MULTILINE)
# What differs from one run to the next, and what stands for it.
_VARIES: Final = (
    (re.compile(r"\d{4}-\d\d-\d\d(T[\d:.]+Z)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8,}\b…?"), "HEX"),
    (re.compile(r" +"), " "),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command, the lines that it is said to print, and how it ends."""

    command: str
    output: tuple[str, ...]
    exit_code: int = 0

    @property
    def is_background(self) -> bool:
        """Whether the page goes on while the command runs."""
        return self.command.endswith(" &")

    def pattern(self) -> re.Pattern[str]:
        """What the command may print."""
        lines = [r"(?:.*\n)*?" if line == "…" else _loosely(line) + r"\n" for line in self.output]
        return re.compile("".join(lines))


def plain(output: str) -> str:
    """Output as :meth:`Step.pattern` takes it: what varies is named, and there are no empty lines."""
    for varies, name in _VARIES:
        output = varies.sub(name, output)
    return "".join(f"{line.strip()}\n" for line in output.splitlines() if line.strip())


def _loosely(line: str) -> str:
    return ".*?".join(re.escape(part) for part in plain(line).strip().split("…"))


def blocks(text: str, *languages: str) -> Iterator[tuple[str, int]]:
    """The fenced blocks in one of these languages, with the exit code that is expected."""
    for indent, language, code, content in _BLOCK.findall(text):
        if language in languages:
            yield "".join(line.removeprefix(indent) for line in content.splitlines(keepends=True)), int(code or 0)


def steps(text: str) -> Iterator[Step]:
    """The page's commands, in order."""
    for content, exit_code in blocks(text, "console"):
        lines = content.splitlines()
        found = []
        while lines:
            command, lines = _command(lines)
            end = next((number for number, line in enumerate(lines) if line.startswith("$ ")), len(lines))
            output = tuple(line for line in lines[:end] if line.strip())
            found.append(Step(command=command, output=output, exit_code=exit_code))
            lines = lines[end:]
        if exit_code and len(found) != 1:
            raise AssertionError(f"a block that fails holds one command: {content}")
        yield from found


def _command(lines: list[str]) -> tuple[str, list[str]]:
    if not lines[0].startswith("$ "):
        raise AssertionError(f"output without a command: {lines[0]}")
    end = 1
    while lines[end - 1].endswith("\\"):
        end += 1
    if heredoc := _HEREDOC.search(lines[end - 1]):
        end = lines.index(heredoc[1], end) + 1
    return "\n".join(lines[:end]).removeprefix("$ "), lines[end:]


def comes_after(page: Path) -> Path | None:
    """The page in whose folder this one goes on, or None for one that starts in an empty folder."""
    found = _CONTINUES.search(page.read_text())
    return (page.parent / found[1]).resolve() if found else None
