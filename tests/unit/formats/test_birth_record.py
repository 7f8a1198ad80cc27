"""Birth records, judged by the rfc8785 package and by a table of single changes that must be refused."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import FormatError, InputError
from imprint.formats.birth_record import (
    PREDICATE_TYPE,
    BirthRecord,
    Evidence,
    Firmware,
    Key,
    Measurement,
    decode,
    encode,
)
from imprint.protocol import evidence
from imprint.protocol.evidence import Grade
from imprint.protocol.intentions import KeyOrigin

TIME = "2026-11-21T11:37:07.123Z"
RECORD = BirthRecord(
    product="thermostat",
    lot="L-2026-11",
    serial="T-000017",
    hardware_id="9900112233445566",
    epoch=1,
    values={"mac": "02:00:5e:10:00:11", "calibration": "Δ=0.25"},
    key=Key(
        origin="device", algorithm="p256", spki_sha256="11" * 32, custody="made in the unit", seen_by=("the station",)
    ),
    certificate_sha256="22" * 32,
    firmware=Firmware(image_sha256="33" * 32, image_hash="44" * 32, version="1.2.3+4", security_counter=2),
    evidence=(
        Evidence(claim="debug", value="locked", grade="unit-signed", time=TIME, source="unit"),
        Evidence(claim="boot-key", value="", grade="declared", time=TIME, source="station-1"),
    ),
    station="station-1",
    recipe_sha256="55" * 32,
    measurements=(
        Measurement(step="test", name="vdd_mv", value="3301", unit="mV", low="3200", high=None, passed=True),
    ),
    session_counter=3,
    claim_leaf="66" * 32,
    certify_leaf="77" * 32,
    made_at=TIME,
)
DATA = encode(RECORD)


def test_round_trip() -> None:
    assert decode(DATA) == RECORD


def test_it_is_an_in_toto_statement_about_the_unit() -> None:
    found = json.loads(DATA)
    assert found.keys() == {"_type", "subject", "predicateType", "predicate"}
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["subject"] == [{"name": "T-000017", "digest": {"sha256": "22" * 32}}]
    assert found["predicateType"] == PREDICATE_TYPE == "https://imprint.dev/birth-record/v1"
    assert found["predicate"].keys() == {field.name for field in fields(BirthRecord)}


def test_it_is_canonical() -> None:
    assert rfc8785.dumps(json.loads(DATA)) == DATA


def test_the_words_of_the_protocol_fit() -> None:
    for grade in Grade:
        assert decode(encode(replace(RECORD, evidence=(replace(RECORD.evidence[0], grade=grade.value),))))
    for origin in KeyOrigin:
        assert decode(encode(replace(RECORD, key=replace(RECORD.key, origin=origin.value)))).key.origin == origin
    assert {one.name for one in fields(Measurement)} == {one.name for one in fields(evidence.Measurement)}


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.pop("subject"),
        lambda one: one.update(more=1),
        lambda one: one.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda one: one.update(predicateType="https://imprint.dev/birth-record/v2"),
        lambda one: one["subject"].append(one["subject"][0]),
        lambda one: one["subject"].clear(),
        lambda one: one["subject"][0].update(name="T-000018"),
        lambda one: one["subject"][0]["digest"].update(sha256="23" * 32),
        lambda one: one["subject"][0]["digest"].update(sha512="23" * 64),
        lambda one: one["predicate"].update(serial="T-000018"),
        lambda one: one["predicate"].update(serial=""),
        lambda one: one["predicate"].update(more=""),
        lambda one: one["predicate"].pop("claim_leaf"),
        lambda one: one["predicate"].update(epoch="1"),
        lambda one: one["predicate"].update(epoch=True),
        lambda one: one["predicate"].update(epoch=1.0),
        lambda one: one["predicate"].update(epoch=-1),
        lambda one: one["predicate"].update(epoch=2**53),
        lambda one: one["predicate"].update(hardware_id="99001122AA"),
        lambda one: one["predicate"].update(hardware_id="990011"),
        lambda one: one["predicate"].update(claim_leaf="66" * 31),
        lambda one: one["predicate"].update(claim_leaf="66" * 32 + "\n"),
        lambda one: one["predicate"].update(made_at="2026-11-21T11:37:07Z"),
        lambda one: one["predicate"].update(values=[]),
        lambda one: one["predicate"]["values"].update(mac=1),
        lambda one: one["predicate"]["key"].update(origin="elsewhere"),
        lambda one: one["predicate"]["key"].update(seen_by="nobody"),
        lambda one: one["predicate"]["evidence"][0].update(grade="certain"),
        lambda one: one["predicate"]["measurements"][0].update(passed=1),
        lambda one: one["predicate"]["measurements"][0].update(value=3301),
    ],
)
def test_any_other_statement_is_refused(change: Change) -> None:
    found = json.loads(DATA)
    change(found)
    with pytest.raises(FormatError):
        decode(json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        DATA[:-1],
        DATA + b"\n",
        DATA.replace(b'"epoch":1', b'"epoch": 1'),
        DATA.replace(b'"epoch":1', b'"epoch":1,"epoch":1'),
        DATA.replace(b'"epoch":1', b'"epoch":1e0'),
        DATA.replace("Δ".encode(), b"\\u0394"),
        DATA.replace("Δ".encode(), b"\\ud800"),
        DATA.replace("Δ".encode(), b"\xff"),
        b'{"predicate":' + b"[" * 100_000,
    ],
)
def test_any_other_encoding_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode(data)


@pytest.mark.parametrize(
    "record",
    [
        replace(RECORD, epoch=-1),
        replace(RECORD, session_counter=2**53),
        replace(RECORD, claim_leaf="no hash"),
        replace(RECORD, hardware_id=""),
        replace(RECORD, made_at="yesterday"),
        replace(RECORD, serial=""),
        replace(RECORD, certificate_sha256="22"),
    ],
)
def test_what_cannot_be_read_is_not_written(record: BirthRecord) -> None:
    with pytest.raises(FormatError):
        encode(record)


@given(st.binary(max_size=100), st.integers(0, len(DATA)), st.integers(0, 20))
def test_any_bytes_give_a_record_or_an_input_error(insert: bytes, at: int, cut: int) -> None:
    data = DATA[:at] + insert + DATA[at + cut :]
    with suppress(InputError):
        assert encode(decode(data)) == data
