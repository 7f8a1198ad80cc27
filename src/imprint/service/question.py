"""What the listening process asks the deciding one, and the bytes in which both say it: frames of a header (JSON) and a
body (as it came, or as it will be sent)."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import imprint.errors
from imprint.errors import FormatError, ImprintError, RefusedError, StorageError
from imprint.protocol.commands import MAX_COMMAND

_LENGTHS: Final = struct.Struct(">II")
_MOST_HEADER: Final = 1 << 16
_LONGEST_TEXT: Final = 1000  # characters of an error, which may repeat what a client sent; JSON makes up to 12 of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request to decide. ``operation`` is its name in ``permissions.py``, or ``ENROL``; ``certificate`` is the
    SHA-256 of the client's, hexadecimal, None for a stranger who enrols; ``body`` is as it came."""

    operation: str
    actor: str
    request_id: str
    certificate: str | None
    body: bytes


ENROL: Final = "enrol"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer's bytes, and the code when it is a refusal; or why there is none."""

    answer: bytes = b""
    refusal: str | None = None
    error: ImprintError | None = None


def encode_question(number: int, question: Question) -> bytes:
    """A frame; ``number`` names the question in its reply."""
    head = [number, question.operation, question.actor, question.request_id, question.certificate]
    return _frame(head, question.body)


def decode_question(header: Any, body: bytes) -> tuple[int, Question]:
    """The inverse. Raises :class:`FormatError`."""
    match header:
        case [int(number), str(operation), str(actor), str(request_id), (str() | None) as certificate]:
            question = Question(
                operation=operation, actor=actor, request_id=request_id, certificate=certificate, body=body
            )
            return number, question
    raise FormatError("not a question", subject="frame")


def encode_reply(number: int, reply: Reply) -> bytes:
    """A frame."""
    error = reply.error
    if error is None:
        return _frame([number, reply.refusal, None], reply.answer)
    code = error.code if isinstance(error, RefusedError) else None
    texts = [text[:_LONGEST_TEXT] for text in (error.what, error.subject, error.next_step)]
    return _frame([number, None, [type(error).__name__, *texts, code]], b"")


def decode_reply(header: Any, body: bytes) -> tuple[int, Reply]:
    """The inverse. Raises :class:`FormatError`."""
    match header:
        case [int(number), (str() | None) as refusal, None]:
            return number, Reply(answer=body, refusal=refusal)
        case [int(number), None, [str(kind), str(what), str(subject), str(next_step), (str() | None) as code]]:
            return number, Reply(error=_error(kind, what, subject, next_step, code))
    raise FormatError("not a reply", subject="frame")


def _error(kind: str, what: str, subject: str, next_step: str, code: str | None) -> ImprintError:
    if code is not None:
        return RefusedError(what, code=code, subject=subject, next_step=next_step)
    found = getattr(imprint.errors, kind, None)
    known = found if isinstance(found, type) and issubclass(found, ImprintError) else StorageError
    return known(what, subject=subject, next_step=next_step)


def _frame(header: list[Any], body: bytes) -> bytes:
    head = json.dumps(header).encode()
    return _LENGTHS.pack(len(head), len(body)) + head + body


def _header(data: bytearray) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise FormatError("its header is not JSON", subject="frame") from None


class Frames:
    """Frames from pieces of a stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Any, bytes]]:
        """(header, body) of each frame that is whole now. Raises :class:`FormatError` for one that is none."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _LENGTHS.size:
            head, body = _LENGTHS.unpack_from(self._buffer, start)
            if head > _MOST_HEADER or body > MAX_COMMAND:
                raise FormatError(f"{head} and {body} bytes are too many", subject="frame")
            middle = start + _LENGTHS.size + head
            if len(self._buffer) < middle + body:
                break
            yield _header(self._buffer[start + _LENGTHS.size : middle]), bytes(self._buffer[middle : middle + body])
            start = middle + body
        del self._buffer[:start]
