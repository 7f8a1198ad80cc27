"""What the pages say of formats is what the code has; what they link to is there."""

import dataclasses
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from page import blocks
from pydantic import BaseModel

from imprint.authority.production.life_cycle import State
from imprint.authority.production.product import (
    DEFAULT_LEAST_GRADES,
    AddressRange,
    MadeSerials,
    Product,
    ProductFile,
    ScannedSerials,
    ValueList,
)
from imprint.formats.profile import Profile
from imprint.protocol.evidence import CLAIMS
from imprint.storage.replay import STATE_TABLES
from imprint.storage.tables import metadata

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FORMATS = ROOT / "docs" / "formats"
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCED.sub("", page.read_text())):
        if link.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def table(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of the table under a heading, by what stands between backticks in the first cell."""
    section = (FORMATS / page).read_text().split(f"# {heading}\n", 1)[1].split("\n#", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("The file", ProductFile),
        ("Serial numbers that are made", MadeSerials),
        ("Serial numbers that are scanned", ScannedSerials),
        ("Address ranges", AddressRange),
        ("Lists", ValueList),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_every_field_of_a_product_file_is_explained(heading: str, model: type[BaseModel]) -> None:
    shown = table("product.md", heading)
    assert list(shown) == list(model.model_fields)
    for name, field in model.model_fields.items():
        default = shown[name][0]
        assert (default == "") == field.is_required(), name
        if isinstance(field.default, int):
            assert default == str(field.default), name


def test_every_field_of_an_identity_is_explained() -> None:
    shown = table("product.md", "Identity")
    fields = {field.name: field for field in dataclasses.fields(Profile)}
    assert list(shown) == list(fields)
    for name, field in fields.items():
        assert (shown[name][0] == "") == (field.default is dataclasses.MISSING), name


def test_every_claim_has_its_least_grade() -> None:
    shown = {claim: cells[0].strip("`") for claim, cells in table("product.md", "Evidence").items()}
    assert shown == {claim: str(DEFAULT_LEAST_GRADES.get(claim, "none")) for claim in CLAIMS}


def test_the_example_is_a_product() -> None:
    (example,) = (content for content, _ in blocks((FORMATS / "product.md").read_text(), "yaml"))
    assert Product.from_yaml(example.encode(), name="example").name == "thermostat"


def test_every_table_of_the_database_is_described() -> None:
    page = (FORMATS / "database.md").read_text()
    assert set(re.findall(r"^### `(\w+)`$", page, re.MULTILINE)) == set(metadata.tables)
    for name, found in metadata.tables.items():
        assert list(table("database.md", f"`{name}`")) == [column.name for column in found.columns], name
    derived = page.split("## What follows from it")[1]
    assert sorted(re.findall(r"^### `(\w+)`$", derived, re.MULTILINE)) == list(STATE_TABLES)
    states = re.findall(r"`([a-z]+)`", table("database.md", "`units`")["state"][0])
    assert set(states) == {state.value for state in State}
