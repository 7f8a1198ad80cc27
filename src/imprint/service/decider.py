"""The deciding process: it has the keys and the database's writer, and no port. What the listening process asks comes
over one socket; all that waits there is decided in one transaction."""

import socket
from collections.abc import Sequence
from typing import Any, Final

import structlog

from imprint.assemble import Platform
from imprint.authority.decisions.kernel import MAX_BATCH, Ask
from imprint.errors import AccessError, FormatError, ImprintError
from imprint.protocol.answers import Answer, Refused
from imprint.protocol.codec import (
    decode_enrolment,
    encode_answer,
    encode_enrolment,
    encode_intention,
    parse_intention,
)
from imprint.protocol.command_codec import COMMANDS, encode_command, parse_command
from imprint.service.openapi import INTENTIONS
from imprint.service.question import ENROL, Frames, Question, Reply, decode_question, encode_reply

_PIECE: Final = 1 << 18  # bytes read at a time


class Decider:
    """Turns questions into decisions."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._log: Any = structlog.get_logger()

    def serve(self, link: socket.socket) -> None:
        """Decide what comes until the other end closes. Raises :class:`FormatError` when it does not keep to the form
        of frames."""
        frames = Frames()
        while data := link.recv(_PIECE):
            asked = [decode_question(header, body) for header, body in frames.feed(data)]
            for start in range(0, len(asked), MAX_BATCH):
                batch = asked[start : start + MAX_BATCH]
                replies = self.decide([question for _, question in batch])
                link.sendall(b"".join(encode_reply(at, reply) for (at, _), reply in zip(batch, replies, strict=True)))

    def decide(self, questions: Sequence[Question]) -> list[Reply]:
        """A reply for each, in their order."""
        read = [self._read(question) for question in questions]
        asks = [each for each in read if isinstance(each, Ask)]
        answers = iter(self._platform.decide_together(asks) if asks else [])
        return [self._reply(next(answers) if isinstance(each, Ask) else each) for each in read]

    def _read(self, question: Question) -> Ask | Exception:
        try:
            return _ask(self._platform, question)
        except Exception as problem:
            return problem

    def _reply(self, found: Answer | BaseException) -> Reply:
        try:
            return _reply(found)
        except Exception as bug:
            self._log.error("failed", kind=type(bug).__name__, exc_info=bug)
            return Reply(error=ImprintError("the authority failed", next_step="See its log"))


def _reply(found: Answer | BaseException) -> Reply:
    if isinstance(found, Answer):
        refusal = found.result.code if isinstance(found.result, Refused) else None
        return Reply(answer=encode_answer(found), refusal=refusal)
    if isinstance(found, ImprintError):
        return Reply(error=found)
    raise found


def _ask(platform: Platform, question: Question) -> Ask:
    """What a question means. Only an enrolment may come from nobody."""
    if question.operation == ENROL:
        return _enrolment(question)
    if question.certificate is None:
        raise AccessError("there is no client certificate", next_step="Enrol first")
    body, request = _meaning(platform, question)
    return Ask(
        actor=question.actor,
        request_id=question.request_id,
        body=body,
        request=request,
        certificate=question.certificate,
    )


def _enrolment(question: Question) -> Ask:
    asked = decode_enrolment(question.body)
    return Ask(actor=asked.name, request_id=question.request_id, body=encode_enrolment(asked), request=asked)


def _meaning(platform: Platform, question: Question) -> tuple[bytes, object]:
    """The body in its one form, and the request."""
    if question.operation in COMMANDS:
        command = parse_command(question.operation, question.body)
        return question.operation.encode() + b"\n" + encode_command(command), platform.request(command)
    if question.operation not in INTENTIONS:
        raise FormatError(f"{question.operation} is nothing that can be decided", subject="question")
    intention = parse_intention(question.body)
    if intention.kind != question.operation:
        raise FormatError(f"kind is {intention.kind}, the path says {question.operation}", subject="body")
    return encode_intention(intention), intention
