"""A request's ID lives until its answer is here."""

from pathlib import Path

import pytest

from imprint.person.open_requests import OpenRequests


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "anna" / "requests"


def test_what_was_not_answered_keeps_its_id_also_for_another_process(folder: Path) -> None:
    first = OpenRequests(folder).open(b"create-lot\n{}")
    assert OpenRequests(folder).open(b"create-lot\n{}") == first
    assert OpenRequests(folder).open(b"close-lot\n{}") != first


def test_a_request_is_open_until_it_is_answered(folder: Path) -> None:
    requests = OpenRequests(folder)
    assert not requests.is_open(b"1")
    requests.open(b"1")
    assert OpenRequests(folder).is_open(b"1")
    assert not requests.is_open(b"2")
    requests.close(b"1")
    assert not requests.is_open(b"1")


def test_what_was_answered_is_a_new_request(folder: Path) -> None:
    requests = OpenRequests(folder)
    first = requests.open(b"1")
    other = requests.open(b"2")
    requests.close(b"1")
    assert requests.open(b"1") != first
    assert requests.open(b"2") == other


def test_closing_twice_is_closing(folder: Path) -> None:
    requests = OpenRequests(folder)
    requests.open(b"1")
    requests.close(b"1")
    requests.close(b"1")
    assert list(folder.iterdir()) == []


def test_an_id_is_one_that_a_path_takes(folder: Path) -> None:
    assert OpenRequests(folder).open(b"1").isalnum()


def test_what_was_asked_is_not_kept(folder: Path) -> None:
    OpenRequests(folder).open(b"why the unit was scrapped")
    assert all(b"scrapped" not in file.read_bytes() for file in folder.iterdir())
