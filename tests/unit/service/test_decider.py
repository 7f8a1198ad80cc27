"""What the deciding process makes of questions. The one that asks them is not trusted with more than it can show."""

from dataclasses import replace

import pytest

from imprint.authority.access.account import Role
from imprint.errors import AccessError, ConflictError, FormatError, ImprintError
from imprint.protocol.answers import Claimed
from imprint.protocol.codec import decode_answer, encode_enrolment, encode_intention
from imprint.protocol.enrolment import Enrolment
from imprint.protocol.intentions import ClaimUnit
from imprint.protocol.refusals import Code
from imprint.service.decider import Decider
from imprint.service.question import ENROL, Question, Reply
from soft_factory import LOT, Factory, enrol_account

CLAIM = encode_intention(ClaimUnit(lot=LOT, run="r", hardware_id="00" * 8))


@pytest.fixture
def claim(factory: Factory) -> Question:
    certificate = enrol_account(factory, "bench-9", Role.STATION)
    return Question(operation="claim", actor="bench-9", request_id="1", certificate=certificate, body=CLAIM)


def ask(factory: Factory, *questions: Question) -> list[Reply]:
    return Decider(factory.platform).decide(questions)


def error_of(factory: Factory, question: Question) -> ImprintError:
    size = factory.size()
    (reply,) = ask(factory, question)
    assert factory.size() == size, "nothing was decided"
    assert reply.error is not None
    return reply.error


def test_a_question_is_decided_and_repeated(factory: Factory, claim: Question) -> None:
    (reply,) = ask(factory, claim)
    assert isinstance(decode_answer(reply.answer).result, Claimed)
    assert ask(factory, claim) == [reply]


def test_each_gets_its_own_reply(factory: Factory, claim: Question) -> None:
    wrong, shut_out, again = (
        replace(claim, body=b"{}"),
        replace(claim, certificate="0" * 64),
        replace(claim, body=CLAIM),
    )
    refused = replace(claim, request_id="2", body=CLAIM.replace(LOT.encode(), b"NONE"))
    replies = ask(factory, wrong, claim, shut_out, again, refused)
    assert [type(reply.error) for reply in replies] == [FormatError, type(None), AccessError, type(None), type(None)]
    assert replies[1] == replies[3]
    assert [reply.refusal for reply in replies] == [None, None, None, None, Code.UNKNOWN_LOT]


def test_only_who_enrols_may_come_without_a_certificate(factory: Factory, claim: Question) -> None:
    for operation, body in (("claim", CLAIM), ("scrap-unit", b'{"serial":"SN-1","reason":"x"}')):
        found = error_of(factory, replace(claim, operation=operation, actor="owner", certificate=None, body=body))
        assert isinstance(found, AccessError)


def test_nobody_asks_in_the_name_of_another(factory: Factory, claim: Question) -> None:
    assert "another account" in str(error_of(factory, replace(claim, actor="bench-1")))
    assert "another account" in str(error_of(factory, replace(claim, actor="owner")))


def test_an_enrolment_is_its_own_actor(factory: Factory) -> None:
    body = encode_enrolment(Enrolment(name="stranger", code="A" * 26, csr=b"x"))
    (reply,) = ask(factory, Question(operation=ENROL, actor="owner", request_id="1", certificate=None, body=body))
    assert reply.refusal is not None
    assert factory.entries()[-1].actor == "stranger"


def test_what_cannot_be_decided_is_refused(factory: Factory, claim: Question) -> None:
    assert isinstance(error_of(factory, replace(claim, operation="read-lots")), FormatError)
    assert "the path says release" in str(error_of(factory, replace(claim, operation="release")))
    assert isinstance(error_of(factory, replace(claim, request_id="")), ConflictError)


def test_a_bug_is_logged_and_told_to_its_asker_only(factory: Factory, claim: Question) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    factory.platform._kernel._rules = {**factory.platform._kernel._rules, ClaimUnit: broken}  # type: ignore[dict-item]
    lines: list[tuple[str, str]] = []
    decider = Decider(factory.platform)
    decider._log = type("Log", (), {"error": lambda _, what, **more: lines.append((what, more["kind"]))})()
    (reply,) = decider.decide([claim])
    assert type(reply.error) is ImprintError
    assert "Zero" not in str(reply.error)
    assert lines == [("failed", "ZeroDivisionError")]
