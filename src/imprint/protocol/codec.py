"""Messages <-> JSON bytes. Each message has one form: fields in the order of their definition, no blanks, bytes in
URL-safe base64. Anything else is refused, so the hash of an intention's bytes names its body.
"""

from typing import Annotated, Final, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import PydanticSerializationError

from imprint.errors import FormatError
from imprint.protocol import answers, evidence, intentions
from imprint.protocol.answers import Answer, Result
from imprint.protocol.intentions import MAX_INTENTION, Intention

T = TypeVar("T")

_CONFIG: Final = ConfigDict(extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")
_MESSAGES: Final = (
    *(evidence.Observation, evidence.Measurement),
    *(intentions.ClaimUnit, intentions.CertifyKey, intentions.PermitStep, intentions.CompleteUnit),
    *(intentions.ReleaseUnit, intentions.QuarantineUnit),
    *(answers.Claimed, answers.Certified, answers.Permitted, answers.Completed, answers.Done, answers.Refused),
    *(answers.Receipt, answers.Answer),
)
for _message in _MESSAGES:
    with_config(_CONFIG)(_message)

_intention: TypeAdapter[Intention] = TypeAdapter(Annotated[Intention, Field(discriminator="kind")])
_result: TypeAdapter[Result] = TypeAdapter(Annotated[Result, Field(discriminator="kind")])
_answer: TypeAdapter[Answer] = TypeAdapter(Answer)


def encode_intention(intention: Intention) -> bytes:
    """The intention's bytes: what is sent, journalled and hashed. :class:`FormatError` for what has no JSON form."""
    try:
        return _intention.dump_json(intention, warnings="error")
    except (PydanticSerializationError, ValueError) as problem:
        raise FormatError(
            "a field has the wrong type, or half a surrogate pair in it", subject="intention"
        ) from problem


def decode_intention(data: bytes) -> Intention:
    """An intention within its limits, or :class:`FormatError`."""
    if len(data) > MAX_INTENTION:
        raise FormatError(f"{len(data)} bytes are more than {MAX_INTENTION}", subject="intention")
    return _decode(_intention, data, "intention")


def encode_result(result: Result) -> bytes:
    """A result without its receipt."""
    return _result.dump_json(result)


def decode_result(data: bytes) -> Result:
    """A result, or :class:`FormatError`."""
    return _decode(_result, data, "result")


def encode_answer(answer: Answer) -> bytes:
    """The answer's bytes: what is sent and journalled."""
    return _answer.dump_json(answer)


def decode_answer(data: bytes) -> Answer:
    """An answer, or :class:`FormatError`."""
    return _decode(_answer, data, "answer")


def _decode(adapter: TypeAdapter[T], data: bytes, subject: str) -> T:
    try:
        message = adapter.validate_json(data, strict=True)
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FormatError(f"{first['msg']} at {place or 'the top'}", subject=subject) from None
    if adapter.dump_json(message) != data:
        raise FormatError(
            "not in its one form",
            subject=subject,
            next_step="Write the fields in the order of their definition, each once, without blanks",
        )
    return message
