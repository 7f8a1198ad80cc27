"""Reconciliations as statements: canonical, strict, and never without the sum adding up."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
import rfc8785

from imprint.errors import FormatError
from imprint.formats.reconciliation import Reconciliation, decode, encode

LOT = Reconciliation(
    lot="L-2026-11",
    product="thermostat",
    granted=24,
    refunded=1,
    shipped=21,
    scrapped=2,
    quarantined=1,
    unused=1,
    contested=("T-000004",),
    checkpoint_size=143,
    checkpoint_root="ab" * 32,
    closed_at="2026-11-21T11:37:07.123Z",
)
DATA = encode(LOT)


def test_round_trip() -> None:
    assert decode(DATA) == LOT
    assert rfc8785.dumps(json.loads(DATA)) == DATA


def test_the_subject_is_the_lot() -> None:
    found = json.loads(DATA)
    assert found["subject"] == [{"name": "L-2026-11", "digest": {"sha256": sha256(b"L-2026-11").hexdigest()}}]
    assert found["predicateType"] == "https://imprint.dev/reconciliation/v1"


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["predicate"].update(shipped=22),
        lambda one: one["predicate"].update(unused=-1, shipped=23),
        lambda one: one["predicate"].update(granted=24.0),
        lambda one: one["predicate"].update(lot="L-2026-12"),
        lambda one: one["predicate"].update(contested=[1]),
        lambda one: one["predicate"].update(more=1),
        lambda one: one["predicate"].update(checkpoint_root="ab"),
        lambda one: one.update(predicateType="https://imprint.dev/birth-record/v1"),
    ],
)
def test_any_other_statement_is_refused(change: Change) -> None:
    found = json.loads(DATA)
    change(found)
    with pytest.raises(FormatError):
        decode(json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize("lot", [replace(LOT, shipped=20), replace(LOT, unused=2), replace(LOT, lot="")])
def test_a_sum_that_does_not_add_up_is_not_written(lot: Reconciliation) -> None:
    with pytest.raises(FormatError):
        encode(lot)
