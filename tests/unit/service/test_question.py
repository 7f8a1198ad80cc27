"""The frames between the two processes: whole ones come out as they went in, in whatever pieces; others are errors."""

import inspect
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import imprint.errors
from imprint.errors import FormatError, ImprintError, RefusedError, StorageError
from imprint.protocol.commands import MAX_COMMAND
from imprint.service.question import (
    Frames,
    Question,
    Reply,
    decode_question,
    decode_reply,
    encode_question,
    encode_reply,
)

ERRORS = [kind for _, kind in inspect.getmembers(imprint.errors, inspect.isclass) if issubclass(kind, ImprintError)]
QUESTIONS = st.builds(
    Question,
    operation=st.text(max_size=20),
    actor=st.text(max_size=20),
    request_id=st.text(max_size=20),
    certificate=st.none() | st.text(max_size=64),
    body=st.binary(max_size=300),
)


@given(st.lists(QUESTIONS, max_size=5), st.integers(1, 200))
def test_questions_in_pieces(questions: list[Question], size: int) -> None:
    stream = b"".join(encode_question(number, one) for number, one in enumerate(questions))
    frames = Frames()
    found = [
        decode_question(*frame) for at in range(0, len(stream), size) for frame in frames.feed(stream[at : at + size])
    ]
    assert found == list(enumerate(questions))


@pytest.mark.parametrize("reply", [Reply(answer=b"{}"), Reply(answer=b"{}", refusal="lot-closed")])
def test_replies(reply: Reply) -> None:
    ((header, body),) = Frames().feed(encode_reply(7, reply))
    assert decode_reply(header, body) == (7, reply)


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_stays_what_it_is(kind: type[ImprintError]) -> None:
    code = {"code": "lot-closed"} if kind is RefusedError else {}
    error = kind("what", subject="subject", next_step="next", **code)
    ((header, body),) = Frames().feed(encode_reply(1, Reply(error=error)))
    _, found = decode_reply(header, body)
    assert type(found.error) is kind
    assert vars(found.error) == vars(error)


def test_an_error_of_no_known_kind_is_one_of_storage() -> None:
    """Whatever it was, the outcome is unknown."""
    _, found = decode_reply([1, None, ["__doc__", "what", "", "", None]], b"")
    assert type(found.error) is StorageError


@pytest.mark.parametrize("header", [None, [], [1], ["1", None, None], [1, 2, None], [1, None, ["a", "b", "c"]], {}])
def test_what_is_no_reply_and_no_question(header: object) -> None:
    for decode in (decode_reply, decode_question):
        with pytest.raises(FormatError, match="not a"):
            decode(header, b"")


def test_a_frame_that_is_too_long_is_refused_before_it_comes() -> None:
    for lengths in ((1 << 17, 0), (2, MAX_COMMAND + 1)):
        with pytest.raises(FormatError, match="too many"):
            list(Frames().feed(struct.pack(">II", *lengths)))


@pytest.mark.parametrize("head", [b"{", b"\xff", b"[" * 60_000, json.dumps("x").encode()[:-1]])
def test_a_header_that_is_no_json_is_refused(head: bytes) -> None:
    with pytest.raises(FormatError, match="JSON"):
        list(Frames().feed(struct.pack(">II", len(head), 0) + head))


def test_an_error_is_cut_to_what_fits_into_a_frame() -> None:
    long = "\U0001f600" * 50_000
    error = RefusedError(long, code="unknown-file", subject=long, next_step=long)
    ((header, body),) = Frames().feed(encode_reply(1, Reply(error=error)))
    _, found = decode_reply(header, body)
    assert found.error is not None
    assert long.startswith(found.error.what)
