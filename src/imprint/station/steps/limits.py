"""Limits of a measured value, and the verdict."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from imprint.protocol.evidence import Measurement
from imprint.station.run import Run
from imprint.station.steps.step import Options

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("a number is expected")
    return Decimal(str(value))  # a float's shortest text is what the file says


Number = Annotated[Decimal, BeforeValidator(_number)]


class Limit(Options):
    """At least ``low``, at most ``high``; one of them may be left out."""

    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _some_value_fits(self) -> "Limit":
        if self.low is None and self.high is None:
            raise ValueError("a limit needs 'low', 'high' or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("'low' is above 'high'")
        return self

    def holds(self, value: Decimal) -> bool:
        """Whether ``value`` is within the limit."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def judge(run: Run, name: str, value: Decimal, unit: str, limit: Limit | None) -> Measurement:
    """Note a measurement of the step at work, with its verdict."""
    measurement = Measurement(
        step=run.step,
        name=name,
        value=str(value),
        unit=unit,
        low=str(limit.low) if limit and limit.low is not None else None,
        high=str(limit.high) if limit and limit.high is not None else None,
        passed=limit is None or limit.holds(value),
    )
    run.measure(measurement)
    return measurement


def describe(measurement: Measurement) -> str:
    """``vdd_mv 2100 is not within 3000..3600``."""
    bounds = f"{measurement.low or ''}..{measurement.high or ''}"
    return f"{measurement.name} {measurement.value}{measurement.unit} is not within {bounds}"
