"""The journal: what was acknowledged survives, what was torn goes, what was damaged is told with its line."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import story

from imprint.errors import ConflictError, FormatError, StorageError
from imprint.station.journal import open_journal
from imprint.station.journal_entry import Entry, decode_entry, encode_entry
from imprint.station.run_event import Status
from imprint.station.run_history import RunHistory

ENTRIES = [*story("a", "01020304"), *story("b", "05060708")[:4]]
LINES = [encode_entry(entry, number) for number, entry in enumerate(ENTRIES, start=1)]


def written(path: Path, entries: list[Entry]) -> bytes:
    with open_journal(path) as journal:
        for entry in entries:
            journal.append(entry)
    return path.read_bytes()


def test_lines_are_json_that_any_program_reads(tmp_path: Path) -> None:
    data = written(tmp_path / "j", ENTRIES)
    assert data == b"".join(LINES)
    found = [json.loads(line) for line in data.splitlines()]
    assert [line["n"] for line in found] == list(range(1, len(ENTRIES) + 1))
    assert found[0]["entry"] == "run-started"


def test_a_journal_is_private(tmp_path: Path) -> None:
    written(tmp_path / "j", ENTRIES)
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_what_it_adds_up_to(tmp_path: Path) -> None:
    written(tmp_path / "j", ENTRIES)
    with open_journal(tmp_path / "j") as journal:
        assert journal.history.identity("01020304") == b"certificate"
        assert journal.history.identity("05060708") is None
        assert journal.history.unfinished("01020304") == ()
        (run,) = journal.history.unfinished("05060708")
        assert list(run.answered) == ["b.claim"]
        assert [step.index for step in run.passed] == [4]
        assert run.passed[0].measured[0].value == "3300"


@pytest.mark.parametrize("outcome", [Status.RELEASED, Status.QUARANTINED, Status.REFUSED])
def test_only_a_complete_run_gives_an_identity(tmp_path: Path, outcome: Status) -> None:
    written(tmp_path / "j", story("a", "01020304", outcome=outcome))
    with open_journal(tmp_path / "j") as journal:
        assert journal.history.identity("01020304") is None
        assert journal.history.unfinished("01020304") == ()


@given(cut=st.integers(min_value=0, max_value=len(b"".join(LINES))))
def test_a_crash_at_any_byte_loses_only_the_torn_line(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("crash") / "j"
    data = b"".join(LINES)[:cut]
    path.write_bytes(data)
    whole = data.count(b"\n")
    with open_journal(path) as journal:
        for entry in ENTRIES[whole:]:
            journal.append(entry)
    assert path.read_bytes() == b"".join(LINES)


@given(start=st.integers(0, len(LINES[-1]) - 2), size=st.integers(1, 600))
def test_a_power_cut_may_leave_a_hole_in_the_last_line(
    tmp_path_factory: pytest.TempPathFactory, start: int, size: int
) -> None:
    path = tmp_path_factory.mktemp("hole") / "j"
    last = LINES[-1]
    hole = bytes(min(size, len(last) - 1 - start))
    path.write_bytes(b"".join(LINES[:-1]) + last[:start] + hole + last[start + len(hole) :])
    with open_journal(path) as journal:
        journal.append(ENTRIES[-1])
    assert path.read_bytes() == b"".join(LINES)


def test_a_hole_in_any_other_line_is_told(tmp_path: Path) -> None:
    data = b"".join(LINES)
    (tmp_path / "j").write_bytes(data[:20] + bytes(5) + data[25:])
    with pytest.raises(FormatError, match="damaged"), open_journal(tmp_path / "j"):
        pass
    assert (tmp_path / "j").stat().st_size == len(data)


@given(where=st.integers(min_value=0, max_value=len(b"".join(LINES)) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_told_with_its_line(tmp_path_factory: pytest.TempPathFactory, where: int, bit: int) -> None:
    path = tmp_path_factory.mktemp("flip") / "j"
    data = bytearray(b"".join(LINES))
    data[where] ^= 1 << bit
    path.write_bytes(data)
    line = b"".join(LINES)[:where].count(b"\n") + 1
    if where == len(data) - 1:  # the last newline is gone: as after a crash
        with open_journal(path) as journal:
            assert journal.history.unfinished("05060708")
        return
    with pytest.raises(FormatError) as caught, open_journal(path):
        pass
    assert caught.value.subject == f"{path}:{line}"
    assert bytes(data) == path.read_bytes(), "a damaged journal is left as it is"


@pytest.mark.parametrize(
    "lines",
    [LINES[1:], LINES[:3] + LINES[4:], LINES[:3] + LINES[2:], [LINES[0], LINES[2], LINES[1]]],
    ids=["first missing", "one missing", "one twice", "two swapped"],
)
def test_whole_lines_that_are_missing_repeated_or_moved(tmp_path: Path, lines: list[bytes]) -> None:
    (tmp_path / "j").write_bytes(b"".join(lines))
    with pytest.raises(FormatError, match="missing, repeated or moved"), open_journal(tmp_path / "j"):
        pass


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_line_gives_an_entry_or_a_typed_error(line: bytes) -> None:
    with pytest.raises(FormatError):
        decode_entry(line, 1, subject="j:1")


@pytest.mark.parametrize("value", ['"\\ud800"', "[" * 900 + "]" * 900, "1e3", "99999999999999999999", "null"])
def test_values_that_json_can_hold_and_a_journal_cannot(value: str) -> None:
    with pytest.raises(FormatError):
        decode_entry(f'{{"entry":"asked","n":1,"sum":"00","x":{value}}}'.encode(), 1, subject="j:1")


@pytest.mark.parametrize(
    "entries",
    [
        [ENTRIES[0], ENTRIES[0]],
        [ENTRIES[1]],
        [ENTRIES[0], ENTRIES[2]],
        [ENTRIES[0], ENTRIES[1], ENTRIES[1]],
        [*ENTRIES[:3], ENTRIES[2]],
        [ENTRIES[0], ENTRIES[3], ENTRIES[3]],
        [*ENTRIES[:7], ENTRIES[3]],
        [*ENTRIES[:7], ENTRIES[0]],
        [ENTRIES[0], ENTRIES[6]],
    ],
)
def test_entries_that_cannot_follow_each_other(entries: list[Entry]) -> None:
    history = RunHistory()
    for entry in entries[:-1]:
        history.add(entry)
    with pytest.raises(FormatError):
        history.add(entries[-1])


HOLD = """
import sys
from pathlib import Path
from imprint.station.journal import open_journal
with open_journal(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLD,
            str(tmp_path / "j"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConflictError), open_journal(tmp_path / "j"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with open_journal(tmp_path / "j"):
        pass  # killed, and the lock is gone with it


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "j"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_journal(path) as journal:
        for entry in ENTRIES[:3]:
            journal.append(entry)
        before = path.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))  # room for a part of the next line
        try:
            with pytest.raises(StorageError, match="cannot be written"):
                journal.append(ENTRIES[3])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == before
        assert journal.history.open_run("a").passed == []
        for entry in ENTRIES[3:]:
            journal.append(entry)
    assert path.read_bytes() == b"".join(LINES)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError), open_journal(tmp_path / "no" / "j"):
        pass


def test_another_kind_of_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError), open_journal(tmp_path):
        pass
