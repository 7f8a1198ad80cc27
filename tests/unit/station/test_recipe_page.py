"""The pages about recipes say what the code does."""

import re
from pathlib import Path

import pytest
from journals import story

from imprint.protocol.evidence import CLAIMS
from imprint.station.journal_entry import encode_entry
from imprint.station.recipe import FORMAT, parse_recipe
from imprint.station.steps import STEPS

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "formats" / "recipe.md").read_text()
JOURNAL_PAGE = (DOCS / "formats" / "journal.md").read_text()


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(format: .*?)```", PAGE, re.DOTALL))
def test_examples_are_recipes(example: str) -> None:
    assert parse_recipe(example.encode(), name="example").steps


def test_there_are_examples_of_this_format() -> None:
    assert PAGE.count(f"format: {FORMAT}\n") == 2


def test_every_step_has_its_row_and_no_row_is_stale() -> None:
    table = PAGE.split("## Steps")[1].split("## Order")[0]
    assert re.findall(r"^\| `([a-z-]+)`", table, re.MULTILINE) == list(STEPS)


def test_every_claim_is_explained() -> None:
    table = PAGE.split("## Evidence")[1]
    assert set(re.findall(r"^\| `([a-z-]+)`", table, re.MULTILINE)) == CLAIMS


def test_every_field_of_the_journal_is_explained() -> None:
    fields = set(re.findall(rb'[{,]"([a-z_]+)":', b"".join(encode_entry(one, 1) for one in story("r", "01"))))
    nested = {"body", "answer", "observed", "measured"}
    named = {text.encode() for text in re.findall(r"`([a-z_]+)`", JOURNAL_PAGE)}
    inner = {b"claim", b"value", b"grade", b"name", b"unit", b"low", b"high", b"passed", b"step", b"time"}
    assert {text.encode() for text in nested} <= fields & named
    assert fields - inner <= named
