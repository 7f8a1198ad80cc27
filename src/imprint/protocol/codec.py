"""Messages <-> JSON bytes. Each message has one form: fields in the order of their definition, no blanks, bytes in
URL-safe base64. Anything else is refused, so the hash of an intention's bytes names its body.
"""

from typing import Annotated, Final, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import PydanticSerializationError

from imprint.errors import FormatError
from imprint.protocol import answers, enrolment, evidence, intentions, port
from imprint.protocol.answers import Answer, Result
from imprint.protocol.enrolment import MAX_ENROLMENT, Enrolment
from imprint.protocol.intentions import MAX_INTENTION, Intention
from imprint.protocol.port import LotPackage

T = TypeVar("T")
_BRIEF: Final = 200  # characters

CONFIG: Final = ConfigDict(extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")
_MESSAGES: Final = (
    *(evidence.Observation, evidence.Measurement),
    *(intentions.ClaimUnit, intentions.TakeOverUnit, intentions.CertifyKey, intentions.PermitStep),
    *(intentions.CompleteUnit, intentions.ReleaseUnit, intentions.QuarantineUnit),
    *(answers.Claimed, answers.Challenged, answers.Certified, answers.Permitted, answers.Completed, answers.Done),
    *(answers.Refused, answers.Enrolled, answers.Receipt, answers.Answer),
    *(enrolment.Enrolment, port.LotPackage),
)
for _message in _MESSAGES:
    with_config(CONFIG)(_message)

_intention: TypeAdapter[Intention] = TypeAdapter(Annotated[Intention, Field(discriminator="kind")])
_result: TypeAdapter[Result] = TypeAdapter(Annotated[Result, Field(discriminator="kind")])
_answer: TypeAdapter[Answer] = TypeAdapter(Answer)
_enrolment: TypeAdapter[Enrolment] = TypeAdapter(Enrolment)
_package: TypeAdapter[LotPackage] = TypeAdapter(LotPackage)


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


def parse_intention(data: bytes) -> Intention:
    """An intention from any JSON that says the same: blanks and the order of fields do not matter. Its bytes in their
    one form are :func:`encode_intention`'s. Raises :class:`FormatError`."""
    return validate(_intention, data, "intention")


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


def encode_enrolment(request: Enrolment) -> bytes:
    """The enrolment's bytes, as :func:`encode_intention`."""
    return _enrolment.dump_json(request)


def decode_enrolment(data: bytes) -> Enrolment:
    """An enrolment within its limits, or :class:`FormatError`."""
    if len(data) > MAX_ENROLMENT:
        raise FormatError(f"{len(data)} bytes are more than {MAX_ENROLMENT}", subject="enrolment")
    return _decode(_enrolment, data, "enrolment")


def encode_package(package: LotPackage) -> bytes:
    """A lot's package."""
    return _package.dump_json(package)


def decode_package(data: bytes) -> LotPackage:
    """A lot's package, or :class:`FormatError`."""
    return _decode(_package, data, "lot package")


def validate(adapter: TypeAdapter[T], data: bytes, subject: str) -> T:
    """A message, or :class:`FormatError`. What is wrong may repeat what was sent, so it is told in brief."""
    try:
        return adapter.validate_json(data, strict=True)
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FormatError(f"{first['msg'][:_BRIEF]} at {place[:_BRIEF] or 'the top'}", subject=subject) from None


def _decode(adapter: TypeAdapter[T], data: bytes, subject: str) -> T:
    message = validate(adapter, data, subject)
    if adapter.dump_json(message) != data:
        raise FormatError(
            "not in its one form",
            subject=subject,
            next_step="Write the fields in the order of their definition, each once, without blanks",
        )
    return message
