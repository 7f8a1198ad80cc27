"""What a folder would hold if the power went at any moment of a program's run.

strace tells, in order, what the program wrote and what it synced. A file's write is safe once the file was synced, and
a name (made, replaced or removed) once its folder was: nothing else is promised (POSIX fsync). What is not safe may or
may not have reached the disk, in any order and torn at any sector, as :class:`Cut` chooses.
"""

import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, unique
from pathlib import Path

SECTOR = 512
_CALLS = ("openat", "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "unlink", "unlinkat", "mkdir")
_TEXT = re.compile(r"(?:\\x[0-9a-f]{2})+")
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)\) += (\d+)")
_UNFINISHED = re.compile(r"^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_DESCRIPTOR = re.compile(r"^(\d+|AT_FDCWD)<([^>]*)>")


@unique
class Cut(Enum):
    """What becomes of writes that are not safe."""

    NOTHING = "nothing that was not synced is there"
    NO_DATABASE = "all is there but for the database's writes that were not synced"
    CHANCE = "sectors that were not synced are there or not by chance"


@dataclass(eq=False, slots=True)
class File:
    """An inode: what is on the disk, and what was written since."""

    safe: bytes = b""
    now: bytearray = field(default_factory=bytearray)
    unsafe: list[tuple[int, int, bytes | None]] = field(default_factory=list)  # moment, offset or size, data or cut

    def change(self, moment: int, at: int, data: bytes | None) -> None:
        """Write at an offset, or cut to a size when there is no data."""
        _apply(self.now, at, data)
        self.unsafe.append((moment, at, data))

    def sync(self, begun: int) -> None:
        """Make safe what was written before the sync was begun."""
        self.safe = self.after_cut(lambda: True, begun)
        self.unsafe = [change for change in self.unsafe if change[0] >= begun]

    def after_cut(self, survives: Callable[[], bool], before: int | None = None) -> bytes:
        """What is safe, and the sectors of later changes that survive."""
        found = bytearray(self.safe)
        for moment, at, data in self.unsafe:
            if before is not None and moment >= before:
                continue
            if data is None:
                if survives():
                    _apply(found, at, None)
                continue
            for start, stop in _sectors(at, len(data)):
                if survives():
                    _apply(found, start, data[start - at : stop - at])
        return bytes(found)


def _apply(found: bytearray, at: int, data: bytes | None) -> None:
    found.extend(bytes(max(0, at - len(found))))
    if data is None:
        del found[at:]
    else:
        found[at : at + len(data)] = data


def _sectors(at: int, size: int) -> Iterator[tuple[int, int]]:
    start = at
    while start < at + size:
        stop = min(at + size, (start // SECTOR + 1) * SECTOR)
        yield start, stop
        start = stop


Names = dict[str, File | None]  # None: a folder


@dataclass(slots=True)
class Disk:
    """A folder with what is safe in it and what is not, moved on by the lines of a trace."""

    root: str
    safe: Names = field(default_factory=dict)
    now: Names = field(default_factory=dict)
    unsafe: list[tuple[int, str, dict[str, File | None], set[str]]] = field(default_factory=list)
    moment: int = 0
    _begun: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # by thread: call, arguments, when

    @classmethod
    def of(cls, root: Path) -> "Disk":
        """A folder at rest: all is safe."""
        names: Names = {}
        for path in root.rglob("*"):
            data = None if path.is_dir() else path.read_bytes()
            names[str(path)] = None if data is None else File(safe=data, now=bytearray(data))
        return cls(root=str(root), safe=dict(names), now=names)

    def follow(self, line: str) -> bool:
        """Take the next line of the trace; whether it changed anything."""
        if (found := _UNFINISHED.match(line)) is not None:
            self._begun[found[1]] = (found[2], found[3], self.moment)
            return False
        if (found := _RESUMED.match(line)) is not None:
            call, arguments, begun = self._begun.pop(found[1])
            result = re.search(r"= (\d+)", found[3].rpartition(")")[2])
            return result is not None and self._do(call, arguments, begun)
        found = _CALL.match(line)
        return found is not None and self._do(found[2], found[3], self.moment)

    def _do(self, call: str, arguments: str, begun: int) -> bool:
        if call not in _CALLS:
            return False
        descriptor = _DESCRIPTOR.match(arguments)
        own = _text(descriptor[2]) if descriptor else ""
        texts = [_text(text) for text in re.findall(r'"([^"]*)"', arguments)]
        if call in ("openat", "rename", "unlink", "unlinkat", "mkdir"):
            return self._names(call, [os.path.normpath(Path(own) / name) for name in texts], arguments)
        if own != self.root and own not in self.now:
            return False
        self.moment += 1
        if call in ("fsync", "fdatasync"):
            self._sync(own, begun)
            return True
        file = self.now[own]
        assert file is not None
        numbers = [int(number) for number in re.findall(r", (\d+)", arguments.rpartition('"')[2])]
        if call == "ftruncate":
            file.change(self.moment, numbers[-1], None)
        else:
            data = re.search(r'"([^"]*)"', arguments)
            assert data is not None
            file.change(self.moment, numbers[1] if call == "pwrite64" else len(file.now), _bytes(data[1]))
        return True

    def _names(self, call: str, paths: Sequence[str], arguments: str) -> bool:
        first = paths[0]
        if not first.startswith(self.root + "/"):
            return False
        if call == "openat":
            if "O_CREAT" not in arguments or first in self.now:
                return False
            self._rename({first: File()}, set())
        elif call == "mkdir":
            self._rename({first: None}, set())
        elif call == "rename":
            self._rename({paths[1]: self.now[first]}, {first})
        else:
            self._rename({}, {first})
        return True

    def _rename(self, made: dict[str, File | None], gone: set[str]) -> None:
        self.moment += 1
        self.now = _renamed(self.now, made, gone)
        folder = str(Path(next(iter((*made, *gone)))).parent)
        self.unsafe.append((self.moment, folder, made, gone))

    def _sync(self, path: str, begun: int) -> None:
        file = self.now.get(path)
        if file is not None:
            file.sync(begun + 1)
            return
        for moment, folder, made, gone in self.unsafe:
            if folder == path and moment <= begun:
                self.safe = _renamed(self.safe, made, gone)
        self.unsafe = [change for change in self.unsafe if change[1] != path or change[0] > begun]

    def after_cut(self, cut: Cut, chance: random.Random) -> dict[str, bytes | None]:
        """The paths under the root and their bytes, None for a folder, if the power went now."""
        most = chance.randrange(len(self.unsafe) + 1) if cut is Cut.CHANCE else len(self.unsafe)
        names = self.safe
        for _, _, made, gone in self.unsafe[: 0 if cut is Cut.NOTHING else most]:
            names = _renamed(names, made, gone)
        found: dict[str, bytes | None] = {}
        for path, file in sorted(names.items()):
            parent = str(Path(path).parent)
            if path.endswith("-shm") or (parent != self.root and parent not in found):
                continue  # an index in memory; and what lies in a folder that is not there
            found[path] = None if file is None else file.after_cut(_survival(cut, path, chance))
        return found


def _survival(cut: Cut, path: str, chance: random.Random) -> Callable[[], bool]:
    if cut is Cut.CHANCE:
        return lambda: chance.random() < 0.5
    return lambda: cut is Cut.NO_DATABASE and ".db" not in path


def _renamed(names: Names, made: dict[str, File | None], gone: set[str]) -> Names:
    return {**{path: file for path, file in names.items() if path not in gone}, **made}


def _bytes(text: str) -> bytes:
    assert not text.strip("\\x0123456789abcdef"), f"strace should write all in hexadecimal: {text[:80]}"
    return bytes.fromhex(text.replace("\\x", ""))


def _text(text: str) -> str:
    return os.fsdecode(_bytes(text)) if _TEXT.fullmatch(text) else text


def traced(trace: Path) -> list[str]:
    """The command that writes a trace which :class:`Disk` can follow; the program comes behind it."""
    calls = f"trace={','.join(_CALLS)}"
    return ["strace", "-f", "-y", "-xx", "-s", "1000000", "-o", str(trace), "-e", calls]


def restore(found: dict[str, bytes | None], root: str, folder: Path) -> None:
    """Put what is left of the folder ``root`` into an empty one."""
    folder.mkdir(parents=True)
    for path, data in found.items():
        target = folder / Path(path).relative_to(root)
        if data is None:
            target.mkdir()
        else:
            target.write_bytes(data)
