"""Invitations and enrolments: one form, anything else refused without repeating it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import FormatError
from imprint.protocol.codec import decode_enrolment, encode_enrolment
from imprint.protocol.enrolment import MAX_ENROLMENT, Enrolment, Invitation, parse_invitation

GOOD = Invitation(name="bench-1", code="A2" * 13, access_ca="0f" * 32)
TEXT = GOOD.encode()
ENROLMENT = Enrolment(name="bench-1", code="A2" * 13, csr=b"\x30\x00")


def test_an_invitation_comes_back() -> None:
    assert GOOD.encode() == f"bench-1:{'A2' * 13}:{'0f' * 32}"
    assert parse_invitation(GOOD.encode()) == GOOD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bench-1",
        GOOD.encode()[:-1],
        GOOD.encode() + "0",
        GOOD.encode().lower(),
        f"{GOOD.encode()}\n",
        ":" + GOOD.encode(),
    ],
)
def test_what_is_no_invitation_is_not_repeated(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_invitation(text)
    assert not text or text not in str(caught.value)


def test_an_enrolment_has_one_form() -> None:
    data = encode_enrolment(ENROLMENT)
    assert decode_enrolment(data) == ENROLMENT
    for wrong in (data + b" ", data.replace(b":", b": ", 1), data[:-1], b"x" * (MAX_ENROLMENT + 1)):
        with pytest.raises(FormatError):
            decode_enrolment(wrong)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_enrolment_or_an_error(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_enrolment(data)
