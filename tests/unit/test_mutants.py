"""The changes that mutation tests try are those that are meant, and each is a program."""

import pytest

from mutants import mutants_of

TABLE = """
T: dict = {"a": 1, "b": 2}
"""
FUNCTION = '''
def f(x: int, *, y: int = 0) -> int:
    """Left alone."""
    if x < 3 and not y:
        raise ValueError("left alone, too")
    return g(x, y=y) + 1
'''


def changes(source: str) -> list[str]:
    mutants = list(mutants_of(source))
    for mutant in mutants:
        compile(mutant.source, "mutant", "exec")
        assert mutant.source != source
    return [mutant.change for mutant in mutants]


def test_a_table_loses_and_mixes_up_its_rows() -> None:
    assert changes(TABLE) == [
        "module: {'a': 1, 'b': 2} -> {'b': 2}",
        "module: {'a': 1, 'b': 2} -> {'a': 2, 'b': 2}",
        "module: {'a': 1, 'b': 2} -> {'a': 1}",
        "module: {'a': 1, 'b': 2} -> {'a': 1, 'b': 1}",
        "module: 'a' -> 'ax'",
        "module: 'b' -> 'bx'",
        "module: 1 -> 2",
        "module: 2 -> 3",
    ]


def test_a_function_loses_its_checks() -> None:
    found = changes(FUNCTION)
    assert found == [
        "f: 0 -> 1",
        "f: if x < 3 and (not y): -> if True:",
        "f: if x < 3 and (not y): -> if False:",
        "f: x < 3 and (not y) -> x < 3 or not y",
        "f: x < 3 and (not y) -> not y",
        "f: x < 3 and (not y) -> x < 3",
        "f: x < 3 -> x <= 3",
        "f: 3 -> 4",
        "f: not y -> y",
        "f: raise ValueError('left alone, too') -> pass",
        "f: return g(x, y=y) + 1 -> return None",
        "f: g(x, y=y) + 1 -> g(x, y=y) - 1",
        "f: g(x, y=y) -> g(x)",
        "f: 1 -> 2",
    ]


def test_the_line_is_the_one_in_the_file() -> None:
    assert [mutant.line for mutant in mutants_of(FUNCTION)][:3] == [2, 4, 4]


@pytest.mark.parametrize("source", ["import a.b", "from a import b", '"""Words."""', "x = f'{y} z'", "x = 'two words'"])
def test_what_is_left_alone(source: str) -> None:
    assert changes(source) == []
