"""YAML from people: plain data with lines, or one typed error that names the line."""

from contextlib import suppress
from dataclasses import dataclass

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import RecipeError
from imprint.formats.yaml_document import MAX_SIZE, check, load


def test_every_place_knows_its_line() -> None:
    document = load(b"a: 1\nb:\n  - x\n  - {c: true}\n", name="f.yaml")
    assert document.value == {"a": 1, "b": ["x", {"c": True}]}
    assert document.where(("b", 1, "c")) == "f.yaml:4"
    assert document.where(("b", 7, "nothing")) == "f.yaml:3"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"a: 1\na: 2\n", 2),
        (b"a: [1\nb: 2\n", 2),
        (b"a: &x 1\nb: *x\n", 2),
        (b"a: &x [*x]\n", 1),
        (b"a: 1\nb: !!int abc\n", 2),
        (b"a: !!bool maybe\n", 1),
        (b"a: !!python/object:os.system x\n", 1),
        (b"a: 2026-11-21\n", 1),
        (b"a: 1\n? [1, 2]\n: 3\n", 2),
        (b"a: 1\n---\nb: 2\n", 2),
        (b"a: {<<: {b: 1}}\n", 1),
        (b"a: \xff\n", 1),
        (b"a: 1\n\tb: 2\n", 2),
    ],
)
def test_what_is_not_plain_data_names_its_line(text: bytes, line: int) -> None:
    with pytest.raises(RecipeError) as caught:
        load(text, name="f.yaml")
    assert caught.value.subject == f"f.yaml:{line}"


@pytest.mark.parametrize("text", [b"", b"# only words\n", b"a" * (MAX_SIZE + 1), b"[" * 1000])
def test_nothing_and_too_much_are_refused(text: bytes) -> None:
    with pytest.raises(RecipeError) as caught:
        load(text, name="f.yaml")
    assert caught.value.subject.startswith("f.yaml")


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    rows = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 64))]
    with pytest.raises(RecipeError, match="aliases"):
        load("\n".join(rows).encode(), name="f.yaml")


@dataclass
class Lamp:
    watts: int


def test_a_complaint_of_the_model_has_the_line() -> None:
    with pytest.raises(RecipeError) as caught:
        check(load(b"# a lamp\nwatts: many\n", name="f.yaml"), Lamp)
    assert caught.value.subject == "f.yaml:2"
    assert "watts" in caught.value.what


@given(st.text(alphabet=st.characters(codec="utf-8")) | st.text(alphabet="a1:-[]{}&*!|>'\"#?, \n\t<=.~"))
def test_any_text_is_a_value_or_a_recipe_error(text: str) -> None:
    with suppress(RecipeError):
        load(text.encode(), name="f.yaml")


@given(
    st.dictionaries(st.text("abc", min_size=1), st.integers() | st.booleans() | st.lists(st.text("xyz ")), min_size=1)
)
def test_what_the_library_writes_is_read_back(value: dict[str, object]) -> None:
    assert load(yaml.safe_dump(value).encode(), name="f.yaml").value == value
