"""What a recipe's step is: a name, its options, and a function."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from imprint.station.run import Run


class Options(BaseModel):
    """What a recipe says about a step; by default nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``act`` does the step and returns a word for the operator; it may be done again at any time without harm.

    ``timeout_s``: after so many seconds the step has failed. ``writes``: it changes the unit. ``repeatable``: a recipe
    may have it more than once.
    """

    act: Callable[[Run, Any], Awaitable[str]]
    options: type[Options] = Options
    timeout_s: float = 120.0
    writes: bool = False
    repeatable: bool = False
