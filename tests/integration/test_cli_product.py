"""``imprint product``: from a file to a product, and every way in which a file can be wrong."""

from pathlib import Path

import pytest

from command_line import CommandLine
from imprint.cli.product import TEMPLATE


def test_the_template_is_a_product(imprint: CommandLine) -> None:
    Path("product.yaml").write_text(imprint("product", "template").out)
    assert "Next: imprint release add --product my-product" in imprint.decide("product", "add", "product.yaml").err
    listed = imprint("product", "list", "--json").result["products"]
    assert [row["product"] for row in listed] == ["lamp", "my-product"]
    shown = imprint("product", "show", "my-product", "--json").result
    assert shown["identity"]["key_algorithm"] == "p256"
    assert shown["least_grades"]["debug"] == "station-observed"


def test_what_the_units_drew_is_gone_from_the_pools(imprint: CommandLine) -> None:
    pools = {
        row["pool"]: (row["given"], row["left"]) for row in imprint("product", "show", "lamp", "--json").result["pools"]
    }
    assert pools == {"mac": (3, 997), "serial": (3, 999_997)}


@pytest.mark.parametrize(
    ("good", "bad", "line", "what"),
    [
        ("p256  ", "p257  ", 7, "identity.key_algorithm: not an algorithm"),
        ("key_origin: device", "key_origin: element", 8, "'element' is not supported yet"),
        ("  organization:", "  company:", 9, "identity.company: not a field"),
        ("1.3.6.1.4.1.32473.1", "3.6.1", 10, "identity.hardware_type: an object identifier with arcs out of range"),
        ('made: "MP-"', 'made: "M/P"', 12, "serials: not a serial number"),
        ('made: "MP-"', 'made: "M\\nP"', 12, "serials: not a serial number"),
        ('made: "MP-", width: 6', 'scanned: "("', 12, "serials.scanned: not a regular expression"),
        ("width: 6", "width: 0", 12, "serials.width: "),
        ('first: "02:00', 'first: "0g:00', 15, "values.mac: 'first' must be 6 octets"),
        ("count: 10000", "count: 0", 15, "values.mac.count: "),
        ("count: 10000", "count: ten", 15, "values.mac.count: "),
        ("product: my-product", "product: my/product", 2, "product: "),
        ("product: my-product", "product: a\nproduct: b", 3, "the key 'product' occurs twice"),
        ("description: What", "description: !!python/name:os What", 3, "is not allowed"),
        ("# evidence:", "evidence: {debug: rumour}\n#", 18, "'rumour' is not a grade"),
        ("# evidence:", "evidence: {luck: declared}\n#", 18, "'luck' is not a claim"),
        ("serials: {", "serials: [", 12, "not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(imprint: CommandLine, good: str, bad: str, line: int, what: str) -> None:
    text = TEMPLATE.replace(good, bad, 1)
    assert text != TEMPLATE
    Path("product.yaml").write_text(text)
    # No passphrase was given: the file is read before anybody is asked for one.
    refused = imprint("product", "add", "product.yaml", "--json", code=3).error
    assert refused["kind"] == "RecipeError"
    assert refused["subject"] == f"product.yaml:{line}"
    assert what in refused["what"]
    assert [row["product"] for row in imprint("product", "list", "--json").result["products"]] == ["lamp"]


@pytest.mark.parametrize(
    "data", [b"", b"# only a comment\n", b"\xff\xfe", b"[1, 2]", b"- a\n---\n- b", b"x" * (2 << 20)]
)
def test_what_is_not_a_product_file(imprint: CommandLine, data: bytes) -> None:
    Path("product.yaml").write_bytes(data)
    assert "product.yaml" in imprint("product", "add", "product.yaml", code=3).err


def test_a_file_that_is_not_there(imprint: CommandLine) -> None:
    assert imprint("product", "add", "nowhere.yaml", code=9).err.startswith("imprint: nowhere.yaml: could not be read")


def test_names_and_ranges_are_given_once(imprint: CommandLine) -> None:
    Path("product.yaml").write_text(TEMPLATE.replace("my-product", "lamp", 1))
    assert imprint.decide("product", "add", "product.yaml", "--json", code=4).error["rule"] == "name-taken"
    overlapping = TEMPLATE.replace("02:00:00:00:00:01", "02:00:5e:00:03:e8")  # the last address of the other range
    Path("product.yaml").write_text(overlapping)
    assert imprint.decide("product", "add", "product.yaml", "--json", code=4).error["rule"] == "range-taken"
    Path("product.yaml").write_text(overlapping.replace("03:e8", "03:e9"))
    imprint.decide("product", "add", "product.yaml")


def test_a_wrong_passphrase_decides_nothing(imprint: CommandLine) -> None:
    Path("product.yaml").write_text(TEMPLATE)
    imprint.passphrase_file.write_text("not the passphrase at all")
    assert imprint.decide("product", "add", "product.yaml", code=7).err == (
        "imprint: keys/device-ca.pem: does not open with this passphrase\n"
        "Try again; if the passphrase is surely right, the file is damaged: restore it from a backup\n"
    )
    assert imprint("ledger", "verify", "--json").result["committed"] == 15


def test_a_product_that_there_is_not(imprint: CommandLine) -> None:
    assert imprint("product", "show", "no\nsuch", "--json", code=4).error["rule"] == "unknown-product"
    assert imprint("product", "show", "no\nsuch", code=4).err.splitlines()[0].endswith("no\\nsuch")
