"""Messages and their bytes. The standard library's ``json`` is the other reader."""

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import FormatError
from imprint.protocol import answers, intentions
from imprint.protocol.answers import Answer, Claimed, Completed, Receipt, Refused
from imprint.protocol.codec import (
    decode_answer,
    decode_intention,
    decode_result,
    encode_answer,
    encode_intention,
    encode_result,
)
from imprint.protocol.evidence import Grade, Measurement, Observation
from imprint.protocol.intentions import CertifyKey, CompleteUnit, KeyOrigin, ReleaseUnit

INTENTIONS = st.one_of(*(st.from_type(kind) for kind in intentions.Intention.__args__))
RESULTS = st.one_of(*(st.from_type(kind) for kind in answers.Result.__args__))
ANSWERS = st.from_type(Answer)
DECODERS: tuple[Callable[[bytes], object], ...] = (decode_intention, decode_result, decode_answer)

CERTIFY = CertifyKey(lot="L1", hardware_id="c0ffee", fence=3, origin=KeyOrigin.DEVICE, csr=b"\xff\xfe\xfd\xfc")
COMPLETE = CompleteUnit(
    lot="L1",
    hardware_id="c0ffee",
    fence=3,
    statement=b"said",
    signature=b"signed",
    observed=(Observation(claim="debug", value="2", grade=Grade.STATION_OBSERVED, time="2026-11-21T11:37:07.123Z"),),
    measurements=(Measurement(step="final", name="vdd_mv", value="3301", unit="mV", low="3200", passed=True),),
)
ANSWER = Answer(
    result=Refused(code="lot-closed", message="closed", next_step="open one"),
    receipt=Receipt(leaf="00" * 32, time="2026-11-21T11:37:07.123Z", signature=b"\x00" * 64),
)


def plain(value: object) -> object:
    """The value that a reader of the JSON should find, by the rules of the codec's docstring."""
    if isinstance(value, bytes):
        return base64.urlsafe_b64encode(value).decode()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value


@given(INTENTIONS)
def test_an_intention_comes_back_and_anybody_can_read_it(intention: intentions.Intention) -> None:
    data = encode_intention(intention)
    assert decode_intention(data) == intention
    assert encode_intention(decode_intention(data)) == data
    assert json.loads(data) == plain(intention)
    assert list(json.loads(data)) == [field.name for field in fields(intention)]


@given(RESULTS)
def test_a_result_comes_back(result: answers.Result) -> None:
    assert decode_result(encode_result(result)) == result
    assert json.loads(encode_result(result)) == plain(result)


@given(ANSWERS)
def test_an_answer_comes_back(answer: Answer) -> None:
    assert decode_answer(encode_answer(answer)) == answer
    assert json.loads(encode_answer(answer)) == plain(answer)


def test_the_bytes_on_the_wire() -> None:
    assert encode_intention(CERTIFY) == (
        b'{"kind":"certify","lot":"L1","hardware_id":"c0ffee","fence":3,"origin":"device","csr":"__79_A==",'
        b'"vendor_certificate":null}'
    )


def test_every_message_of_the_protocol_goes_through() -> None:
    """A union that forgets a message would refuse it only when it is first sent."""
    for module, union in ((intentions, intentions.Intention), (answers, answers.Result)):
        kinds = {kind for kind in vars(module).values() if is_dataclass(kind) and hasattr(kind, "kind")}
        own = {kind for kind in kinds if isinstance(kind, type) and kind.__module__ == module.__name__}
        assert own == set(union.__args__)


def changed(data: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(data) | changes).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"kind": "obtain"},
        {"kind": None},
        {"lot": 1},
        {"lot": None},
        {"fence": "three"},
        {"fence": None},
        {"fence": 3.5},
        {"observed": {}},
        {"observed": [{"claim": "debug", "value": "2", "grade": "station-observed"}]},
        {"observed": [{"claim": "debug", "value": "2", "grade": "certain", "time": "t"}]},
        {"observed": [{"claim": "debug", "value": "2", "grade": "declared", "time": "t", "more": 1}]},
        {"statement": "no base64!"},
        {"statement": [1, 2]},
        {"measurements": [None]},
    ],
)
def test_unknown_fields_and_wrong_types_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError) as caught:
        decode_intention(changed(encode_intention(COMPLETE), **changes))
    assert caught.value.subject == "intention"


@pytest.mark.parametrize("fence", ["3", 3.0, True])
def test_what_only_looks_like_a_number_is_refused(fence: object) -> None:
    with pytest.raises(FormatError):
        decode_intention(changed(encode_intention(COMPLETE), fence=fence))


def test_a_field_that_occurs_twice_is_refused() -> None:
    with pytest.raises(FormatError):
        decode_intention(encode_intention(COMPLETE)[:-1] + b',"fence":4}')


@pytest.mark.parametrize("csr", ["//79/A==", "__79_A"])
def test_bytes_have_one_text(csr: str) -> None:
    with pytest.raises(FormatError):
        decode_intention(changed(encode_intention(CERTIFY), csr=csr))


@pytest.mark.parametrize("name", [field.name for field in fields(ReleaseUnit)])
def test_missing_fields_are_refused(name: str) -> None:
    whole = encode_intention(ReleaseUnit(lot="L1", hardware_id="c0ffee", fence=1, reason="dropped"))
    part = {key: value for key, value in json.loads(whole).items() if key != name}
    with pytest.raises(FormatError):
        decode_intention(json.dumps(part).encode())


def test_a_message_is_not_one_of_another_family() -> None:
    with pytest.raises(FormatError):
        decode_intention(encode_result(Completed(record=b"")))
    with pytest.raises(FormatError):
        decode_result(encode_intention(CERTIFY))
    with pytest.raises(FormatError):
        decode_answer(encode_result(ANSWER.result))


def test_an_error_names_the_place_and_not_the_value() -> None:
    with pytest.raises(FormatError) as caught:
        decode_result(changed(encode_result(Completed(record=b"x")), record="hunter2 is no base64"))
    assert "completed.record" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{}", b"{", b"[" * 100_000, b'{"kind":' * 100_000, b'"\\ud800"', b"\xff", b"\xef\xbb\xbf{}"],
)
def test_hostile_bytes(decode: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(FormatError):
        decode(data)


@given(st.binary(), st.sampled_from(DECODERS))
def test_any_bytes_are_a_message_or_a_format_error(data: bytes, decode: Callable[[bytes], object]) -> None:
    with pytest.raises(FormatError):
        decode(data)


@given(st.sampled_from([CERTIFY, COMPLETE]), st.data())
def test_a_damaged_message_is_a_message_or_a_format_error(intention: intentions.Intention, data: st.DataObject) -> None:
    whole = encode_intention(intention)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 8)))
    damaged = whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:]
    with suppress(FormatError):
        assert isinstance(decode_intention(damaged), type(intention))


def test_values_of_a_claim_keep_their_names() -> None:
    claimed = Claimed(state="claimed", serial="A1", fence=1, values={"mac": "02:00:00:00:00:01"}, challenge=b"n" * 32)
    assert json.loads(encode_result(claimed))["values"] == {"mac": "02:00:00:00:00:01"}


@pytest.mark.parametrize(
    "intention",
    [
        ReleaseUnit(lot="L" * 101, hardware_id="c0ffee", fence=1, reason=""),
        ReleaseUnit(lot="L1", hardware_id="c0ffee", fence=2**31, reason=""),
        ReleaseUnit(lot="L1", hardware_id="c0ffee", fence=-1, reason=""),
        ReleaseUnit(lot="L1", hardware_id="c0ffee", fence=1, reason="r" * 4001),
        CertifyKey(lot="L1", hardware_id="c0ffee", fence=3, origin=KeyOrigin.DEVICE, csr=bytes(8193)),
        replace(COMPLETE, observed=COMPLETE.observed * 101),
        replace(COMPLETE, measurements=COMPLETE.measurements * 501),
        replace(COMPLETE, observed=(replace(COMPLETE.observed[0], value="v" * 257),)),
        replace(COMPLETE, measurements=(replace(COMPLETE.measurements[0], name="n" * 101),)),
    ],
)
def test_what_a_station_may_write_has_limits(intention: intentions.Intention) -> None:
    with pytest.raises(FormatError):
        decode_intention(encode_intention(intention))


@pytest.mark.parametrize("reason", ["\ud800", ["x"], 3])
def test_what_has_no_json_form_is_refused_before_it_is_sent(reason: Any) -> None:
    with pytest.raises(FormatError):
        encode_intention(ReleaseUnit(lot="L1", hardware_id="c0ffee", fence=1, reason=reason))
