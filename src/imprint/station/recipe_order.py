"""Which orders of steps make sense.

Rules in one breath: identify, claim, …, complete, each but a few at most once; what a step needs comes before it;
nothing is written after the lock; and between the last write and the final check the power is taken away.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from imprint.station.steps import STEPS
from imprint.station.steps.firmware import LoadOptions
from imprint.station.steps.step import Options


class Placed(Protocol):
    """A step in a recipe."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def options(self) -> Options:
        """Its options."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Disorder:
    """What is wrong with the order, at which step (from 0), and what to do."""

    index: int
    what: str
    remedy: str = ""


# Steps, and the ones of which at least one must come before each.
_NEEDS: Final = {
    "certify": ("make-key", "check-identity"),
    "write-certificate": ("certify",),
    "lock-debug": ("write-certificate", "load-firmware production"),
    "final-check": ("write-certificate", "load-firmware production"),
    "complete": ("final-check",),
}
# Steps, and the ones that must not come after each.
_ENDS: Final = {
    "load-firmware": ("fuse-boot-key",),
    "load-firmware production": ("load-firmware diagnostic",),
    "check-identity": ("make-key",),
    "make-key": ("check-identity",),
    "lock-debug": tuple(name for name, step in STEPS.items() if step.writes),
    "final-check": tuple(name for name in STEPS if name != "complete"),
}


def find_disorder(steps: Sequence[Placed]) -> Disorder | None:
    """The first thing that is wrong with the order, or None."""
    return next(_disorders(steps), None)


def _disorders(steps: Sequence[Placed]) -> Iterator[Disorder]:
    last = len(steps) - 1
    seen: list[str] = []
    unsettled = ""  # the last write after which the power was not taken away
    for index, placed in enumerate(steps):
        name, names = placed.name, _names(placed)
        for place, position, wanted in (("first", 0, "identify"), ("second", 1, "claim"), ("last", last, "complete")):
            if (name == wanted) != (index == position):
                yield Disorder(index=index, what=f"'{wanted}' must be the {place} step, and only that")
        if name in seen and not STEPS[name].repeatable:
            yield Disorder(index=index, what=f"'{name}' occurs twice")
        for one in names:
            yield from _missing(index, one, seen)
            for earlier in seen:
                if one in _ENDS.get(earlier, ()):
                    yield Disorder(index=index, what=f"'{one}' must not come after '{earlier}'")
        if name == "final-check" and unsettled:
            remedy = "Put a 'power-cycle' between them: what is read back must have outlived it"
            yield Disorder(index=index, what=f"there is no power cycle after '{unsettled}'", remedy=remedy)
        if STEPS[name].writes:
            unsettled = name
        elif name == "power-cycle":
            unsettled = ""
        seen.extend(names)


def _missing(index: int, name: str, seen: Sequence[str]) -> Iterator[Disorder]:
    needs = _NEEDS.get(name, ())
    together = name == "certify"  # one of its needs is enough; of others, all are needed
    missing = [need for need in needs if need not in seen]
    if missing and not (together and len(missing) < len(needs)):
        what = " or ".join(f"'{need}'" for need in missing) if together else f"'{missing[0]}'"
        yield Disorder(index=index, what=f"'{name}' needs {what} before it")


def _names(placed: Placed) -> tuple[str, ...]:
    """The step's name, and for firmware also the name with its image."""
    if isinstance(placed.options, LoadOptions):
        return (placed.name, f"{placed.name} {placed.options.image}")
    return (placed.name,)
