"""Times as text."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprint.clock import from_text, system_clock, to_text
from imprint.errors import FormatError

ZONES = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-14 * 60, 14 * 60))
MOMENTS = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=ZONES)


def test_the_documented_example() -> None:
    moment = datetime(2026, 11, 21, 11, 37, 7, 123_000, tzinfo=UTC)
    assert to_text(moment) == "2026-11-21T11:37:07.123Z"
    assert from_text("2026-11-21T11:37:07.123Z") == moment


@given(MOMENTS)
def test_there_and_back_loses_less_than_a_millisecond(moment: datetime) -> None:
    back = from_text(to_text(moment))
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)
    assert back.tzinfo == UTC
    assert to_text(back) == to_text(moment)


@given(MOMENTS, MOMENTS)
def test_text_sorts_as_time_does(one: datetime, other: datetime) -> None:
    if to_text(one) != to_text(other):
        assert (to_text(one) < to_text(other)) == (one < other)


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-11-21", "20261121T113707.123Z", "2026-11-21 11:37:07.123Z", "2026-11-21T11:37:07Z",
        "2026-11-21T11:37:07.123", "2026-11-21T11:37:07.123456Z", "2026-11-21T11:37:07.123+00:00",
        "2026-11-21T12:37:07.123+01:00", "2026-11-21T11:37:07.123z", "2026-11-21T24:00:00.000Z",
        "2026-02-29T11:37:07.123Z", "2026-11-21T11:37:60.000Z", " 2026-11-21T11:37:07.123Z",
        "2026-11-21T11:37:07.123Z\n", "2026-W47-6T11:37:07.123Z", "٢٠٢٦-11-21T11:37:07.123Z",
        "0000-01-01T00:00:00.000Z",
    ],
)  # fmt: skip
def test_every_other_form_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        from_text(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00.000+23:59", "9999-12-31T23:59:59.999-23:59"])
def test_offsets_that_lead_out_of_the_calendar_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        from_text(text)


@given(st.text() | st.from_regex(r"[1-8]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]0\d:\d\d)", fullmatch=True))
def test_any_text_is_a_time_or_a_format_error(text: str) -> None:
    with suppress(FormatError):
        assert to_text(from_text(text)) == text


def test_the_machine_s_clock_is_in_utc() -> None:
    before = datetime.now(UTC)
    assert before <= system_clock() <= datetime.now(UTC)
    assert system_clock().tzinfo == UTC
