"""Recipes: what is accepted, and that every mistake is told with its line."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import RecipeError
from imprint.station.recipe import SHIPPED, Recipe, check_fits, parse_recipe
from imprint.station.steps import STEPS

HEAD = "format: imprint-recipe/1\nname: r\nsteps:\n"
GOOD = [
    "identify",
    "claim",
    "fuse-boot-key",
    "load-firmware: {image: diagnostic}",
    "self-test: {limits: {vdd_mv: {low: 3000, high: 3600}}}",
    "run-program: {command: [./t], timeout_s: 5, measures: [i_ma], limits: {i_ma: {high: 20.5}}}",
    "make-key",
    "certify",
    "write-certificate",
    "load-firmware: {image: production}",
    "write-values",
    "lock-debug",
    "power-cycle",
    "final-check",
    "complete",
]


def recipe_of(steps: list[str]) -> bytes:
    return (HEAD + "".join(f"  - {step}\n" for step in steps)).encode()


def without(name: str) -> list[str]:
    return [step for step in GOOD if step.split(":")[0] != name]


def moved(name: str, *, before: str) -> list[str]:
    step = next(step for step in GOOD if step.startswith(name))
    rest = [one for one in GOOD if one is not step]
    index = next(index for index, one in enumerate(rest) if one.startswith(before))
    return [*rest[:index], step, *rest[index:]]


def refusal(data: bytes) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(data, name="r.yaml")
    return caught.value


@pytest.mark.parametrize("name", ["typical", "preprovisioned"])
def test_shipped_recipes_are_good(name: str) -> None:
    recipe = parse_recipe((SHIPPED / f"{name}.yaml").read_bytes(), name=name)
    assert recipe.name == name
    assert [step.name for step in recipe.steps][:2] == ["identify", "claim"]


def test_every_step_can_be_written() -> None:
    both = parse_recipe(recipe_of(GOOD), name="r").step_names
    other = parse_recipe((SHIPPED / "preprovisioned.yaml").read_bytes(), name="p").step_names
    assert both | other == STEPS.keys()


def test_options_without_any_may_be_left_out_or_empty() -> None:
    assert parse_recipe(recipe_of([s if s != "make-key" else "make-key: {}" for s in GOOD]), name="r")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("name: r\nsteps: [identify]\n", 1, "format: Field required"),
        ("format: imprint-recipe/2\nname: r\nsteps: [identify]\n", 1, "format"),
        ("format: imprint-recipe/1\nname: a b\nsteps: [identify]\n", 2, "name"),
        ("format: imprint-recipe/1\nname: r\nsteps: []\n", 3, "steps"),
        ("format: imprint-recipe/1\nname: r\nname: s\nsteps: [identify]\n", 3, "the key 'name' occurs twice"),
        ("format: imprint-recipe/1\nname: r\nsteps: [identify]\nextra: 1\n", 4, "extra"),
        (HEAD + "  - identify\n  - clain\n", 5, "there is no step 'clain'"),
        (HEAD + "  - identify\n  - 7\n", 5, "a step is a name"),
        (HEAD + "  - {identify: , claim: }\n", 4, "a step is a name"),
        (HEAD + "  - identify: {speed: 9}\n", 4, "speed"),
        (HEAD + "  - load-firmware\n", 4, "image"),
        (HEAD + "  - load-firmware:\n      image: beta\n", 5, "image"),
        (HEAD + "  - self-test:\n      limits:\n        v: {low: 1}\n        v: {low: 2}\n", 7, "the key 'v' occurs"),
        (
            HEAD + "  - self-test:\n      limits:\n        v:\n          low: 3\n          high: 2\n",
            7,
            "'low' is above",
        ),
        (HEAD + "  - self-test:\n      limits:\n        v: {}\n", 6, "a limit needs"),
        (HEAD + "  - self-test:\n      limits:\n        v: {low: yes}\n", 6, "a number is expected"),
        (HEAD + '  - self-test:\n      limits:\n        v: {low: "1"}\n', 6, "a number is expected"),
        (HEAD + "  - self-test:\n      limits:\n        v: {low: .nan}\n", 6, "low"),
        (HEAD + "  - run-program: {command: [], timeout_s: 1}\n", 4, "command"),
        (HEAD + "  - run-program: {command: [a], timeout_s: 0}\n", 4, "timeout_s"),
        (
            HEAD + "  - run-program:\n      command: [a]\n      timeout_s: 1\n      limits: {x: {low: 1}}\n",
            5,
            "limits for x",
        ),
        (HEAD + "  - identify\n - claim\n", 5, "not YAML"),
        ("- identify\n", 1, ""),
        ("", None, "empty"),
        (HEAD + "  - !!python/object:os.system {}\n", 4, ""),
    ],
)
def test_mistakes_in_the_text_are_told_with_their_line(text: str, line: int | None, what: str) -> None:
    error = refusal(text.encode())
    assert error.subject == ("r.yaml" if line is None else f"r.yaml:{line}")
    assert what in error.what


@pytest.mark.parametrize(
    ("steps", "index", "what"),
    [
        (without("identify"), 0, "'identify' must be the first step"),
        (without("claim"), 1, "'claim' must be the second step"),
        (without("complete"), -1, "'complete' must be the last step"),
        ([*GOOD, "self-test"], 14, "'complete' must be the last step"),
        ([*GOOD[:3], *GOOD[2:]], 3, "'fuse-boot-key' occurs twice"),
        (without("make-key"), 6, "'certify' needs 'make-key' or 'check-identity' before it"),
        (moved("certify", before="make-key"), 6, "'certify' needs"),
        ([*GOOD[:7], "check-identity", *GOOD[7:]], 7, "'check-identity' must not come after 'make-key'"),
        (without("certify"), 7, "'write-certificate' needs 'certify' before it"),
        (moved("lock-debug", before="certify"), 7, "'lock-debug' needs 'write-certificate' before it"),
        (moved("write-values", before="power-cycle"), 11, "'write-values' must not come after 'lock-debug'"),
        (moved("fuse-boot-key", before="make-key"), 5, "'fuse-boot-key' must not come after 'load-firmware'"),
        (moved("load-firmware: {image: d", before="write-values"), 9, "must not come after 'load-firmware production'"),
        (without("power-cycle"), 12, "there is no power cycle after 'lock-debug'"),
        (moved("power-cycle", before="lock-debug"), 13, "there is no power cycle after 'lock-debug'"),
        (without("final-check"), 13, "'complete' needs 'final-check' before it"),
        (moved("self-test", before="complete"), 13, "'self-test' must not come after 'final-check'"),
        ([s for s in GOOD if "production" not in s], 10, "'lock-debug' needs 'load-firmware production' before it"),
    ],
)
def test_orders_that_make_no_sense_are_told_with_their_line(steps: list[str], index: int, what: str) -> None:
    error = refusal(recipe_of(steps))
    assert what in error.what
    assert error.subject == f"r.yaml:{(index % len(steps)) + 4}"


def good() -> Recipe:
    return parse_recipe(recipe_of(GOOD), name="r.yaml")


def check_with(recipe: Recipe, *, key_origin: str = "device", has_diagnostic: bool = True) -> None:
    check_fits(recipe, name="r.yaml", key_origin=key_origin, has_diagnostic=has_diagnostic, least_grades={"debug"})


def test_a_recipe_that_fits_its_lot() -> None:
    check_with(good())


def test_a_recipe_for_keys_from_elsewhere() -> None:
    with pytest.raises(RecipeError, match="key origin is preprovisioned"):
        check_with(good(), key_origin="preprovisioned")


def test_a_recipe_that_loads_what_the_lot_has_not() -> None:
    with pytest.raises(RecipeError, match="the lot has none") as caught:
        check_with(good(), has_diagnostic=False)
    assert "--diagnostic" in caught.value.next_step


@pytest.mark.parametrize(
    ("steps", "what"),
    [
        ([s if s != "make-key" else "check-identity" for s in GOOD], "key origin is device"),
        (without("lock-debug"), "does not lock it"),
    ],
)
def test_a_recipe_that_does_not_fit_its_product(steps: list[str], what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        check_with(parse_recipe(recipe_of(steps), name="r.yaml"))


@given(st.binary(max_size=300))
def test_any_bytes_give_a_recipe_or_a_typed_error(data: bytes) -> None:
    with suppress(RecipeError):
        parse_recipe(HEAD.encode() + data, name="r")


@given(st.lists(st.sampled_from([*GOOD, "check-identity"]), max_size=20))
def test_what_is_accepted_has_what_every_run_needs(steps: list[str]) -> None:
    try:
        names = [step.name for step in parse_recipe(recipe_of(steps), name="r").steps]
    except RecipeError:
        return
    assert names[0] == "identify"
    assert names[-2:] == ["final-check", "complete"]
    assert names.index("claim") < names.index("certify") < names.index("write-certificate")
