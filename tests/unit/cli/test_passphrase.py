"""Where a passphrase may come from, and what is refused."""

import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from imprint.cli.passphrase import MOST_BYTES, Secret, read_passphrase
from imprint.errors import PassphraseError

GOOD = b"correct horse battery"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.touch(0o600)
    return path


def piped(data: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return reading


@pytest.fixture
def pipe() -> Iterator[int]:
    reading = piped(GOOD + b"\nthe second one here\nrest")
    yield reading
    os.close(reading)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nanother line\n"])
def test_the_first_line_of_a_file(file: Path, end: bytes) -> None:
    file.write_bytes(GOOD + end)
    assert read_passphrase("workspace", file=file, new=True).reveal() == GOOD


def test_spaces_and_bytes_belong_to_it(file: Path) -> None:
    file.write_bytes(b" \xff\x00tab\t and spaces \n")
    assert read_passphrase("workspace", file=file).reveal() == b" \xff\x00tab\t and spaces "


def test_one_descriptor_gives_one_line_after_the_other(pipe: int) -> None:
    assert read_passphrase("workspace", fd=pipe).reveal() == GOOD
    assert read_passphrase("root CA", fd=pipe).reveal() == b"the second one here"
    assert os.read(pipe, 10) == b"rest"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o777])
def test_a_file_that_others_may_use_is_refused_unread(file: Path, mode: int) -> None:
    file.write_bytes(GOOD)
    file.chmod(mode)
    with pytest.raises(PassphraseError, match="others than its owner") as caught:
        read_passphrase("workspace", file=file)
    assert caught.value.next_step == f"chmod 600 {file}"


def test_a_link_is_judged_by_what_it_leads_to(file: Path, tmp_path: Path) -> None:
    file.write_bytes(GOOD)
    link = tmp_path / "link"
    link.symlink_to(file)
    assert read_passphrase("workspace", file=link).reveal() == GOOD
    file.chmod(0o644)
    with pytest.raises(PassphraseError, match="others"):
        read_passphrase("workspace", file=link)


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"\nGOOD"])
@pytest.mark.parametrize("new", [True, False])
def test_an_empty_one_is_refused(file: Path, content: bytes, new: bool) -> None:
    file.write_bytes(content)
    with pytest.raises(PassphraseError, match="empty"):
        read_passphrase("workspace", file=file, new=new)


def test_a_short_one_opens_a_key_but_does_not_make_one(file: Path) -> None:
    file.write_bytes(b"elf Zeichen")
    assert read_passphrase("workspace", file=file).reveal() == b"elf Zeichen"
    with pytest.raises(PassphraseError, match="shorter than 12 characters"):
        read_passphrase("workspace", file=file, new=True)


def test_length_counts_characters_not_bytes(file: Path) -> None:
    file.write_bytes("üüüüüüüüüüü".encode())
    with pytest.raises(PassphraseError, match="shorter"):
        read_passphrase("workspace", file=file, new=True)
    file.write_bytes("üüüüüüüüüüüü".encode())
    assert read_passphrase("workspace", file=file, new=True)


def test_the_longest_and_one_byte_more(file: Path) -> None:
    file.write_bytes(b"x" * MOST_BYTES + b"\n")
    assert len(read_passphrase("workspace", file=file).reveal()) == MOST_BYTES
    file.write_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(PassphraseError, match="longer than 1024 bytes"):
        read_passphrase("workspace", file=file)


@pytest.mark.parametrize("fd", [-1, 987_654, 10**30])
def test_a_descriptor_that_is_not_open(fd: int) -> None:
    with pytest.raises(PassphraseError, match="cannot be read"):
        read_passphrase("workspace", fd=fd)


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(PassphraseError, match="cannot be opened"):
        read_passphrase("workspace", file=tmp_path / "none")
    (tmp_path / "folder").mkdir(0o700)
    with pytest.raises(PassphraseError, match="cannot be read"):
        read_passphrase("workspace", file=tmp_path / "folder")


def test_two_sources_are_one_too_many(file: Path) -> None:
    with pytest.raises(PassphraseError, match="both"):
        read_passphrase("workspace", file=file, fd=0)


def test_a_descriptor_must_not_be_a_terminal() -> None:
    ours, theirs = pty.openpty()
    with pytest.raises(PassphraseError, match="would show"):
        read_passphrase("workspace", fd=theirs)
    os.close(ours)
    os.close(theirs)


def test_errors_and_representations_hide_it(file: Path) -> None:
    file.write_bytes(b"hunter2")
    with pytest.raises(PassphraseError) as caught:
        read_passphrase("workspace", file=file, new=True)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in f"{Secret(b'hunter2')!r} {Secret(b'hunter2')}"
