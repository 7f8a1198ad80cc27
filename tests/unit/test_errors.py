"""The error tree as its docstring draws it, and what an error says."""

import re
import subprocess
import sys

import pytest

from imprint import errors
from imprint.errors import ImprintError, RefusedError


def drawn() -> dict[str, str]:
    """Child -> parent, from the drawing: a name's column tells its depth."""
    parents: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        name = re.match(r"^    ([│├└─ ]*)([A-Z]\w+)(?:\s|$)", line)
        if name:
            depth = len(name[1]) // 4
            above[depth] = name[2]
            parents[name[2]] = above[depth - 1] if depth else "Exception"
    return parents


def defined() -> dict[str, str]:
    """Child -> parent, from the classes."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return {kind.__name__: kind.__mro__[1].__name__ for kind in kinds}


def test_the_drawn_tree_is_the_tree() -> None:
    assert drawn() == defined()
    assert len(drawn()) > 10


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ImprintError("it broke"), "it broke"),
        (ImprintError("it broke", subject="a.yaml:3"), "a.yaml:3: it broke"),
        (ImprintError("it broke", next_step="Mend it"), "it broke. Mend it"),
        (RefusedError("closed", code="lot-closed", subject="L1", next_step="Open one"), "L1: closed. Open one"),
    ],
)
def test_text(error: ImprintError, text: str) -> None:
    assert str(error) == text


def test_the_module_needs_nothing() -> None:
    program = "import sys; before = set(sys.modules); import imprint.errors; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) == {"imprint", "imprint.errors"}
