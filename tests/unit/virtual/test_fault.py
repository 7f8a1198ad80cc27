"""Faults as they are written on the command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import InputError
from imprint.virtual.fault import Faults, parse_fault


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2=self-test", (2, Faults(self_test=True))),
        ("0=clone=11", (0, Faults(clone_of=11))),
        ("1=false-lock,power-loss", (1, Faults(false_lock=True, power_loss=True))),
        ("3=hang", (3, Faults(hang_after=20))),
        ("3=hang=0", (3, Faults(hang_after=0))),
        ("3=hang=7,drop-bytes=100", (3, Faults(hang_after=7, lose_one_in=100))),
        ("3=drop-bytes", (3, Faults(lose_one_in=4000))),
    ],
)
def test_faults_are_read(text: str, wanted: tuple[int, Faults]) -> None:
    assert parse_fault(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1=",
        "=self-test",
        "x=self-test",
        "-1=self-test",
        "1=selftest",
        "1=self-test=1",
        "1=clone",
        "1=clone=x",
        "1=drop-bytes=0",
        "1=hang,",
        "1=hang,,hang",
        "²=hang",
        "1=clone=-1",
        "1=self-test ",
        "1=power-loss=2",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_fault(text)
    assert "clone=M" in refusal.value.next_step


@given(st.text(max_size=20))
def test_hostile_texts_give_faults_or_a_typed_error(text: str) -> None:
    try:
        parse_fault(text)
    except InputError:
        return
