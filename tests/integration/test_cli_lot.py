"""``imprint lot`` and ``imprint recipe``: from the grant to what the next party gets."""

import csv
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from command_line import LOT, CommandLine

PAGE = (Path(__file__).parents[2] / "docs" / "formats" / "export.md").read_text()
PINS = ("--product", "lamp", "--count", 5, "--release", "1.0.0")
SUM = {"granted": 4, "refunded": 0, "shipped": 2, "scrapped": 0, "quarantined": 1, "in_work": 0, "unused": 1}


def entries(imprint: CommandLine) -> int:
    committed: int = imprint("ledger", "list", "--json").result["committed"]
    return committed


def test_a_new_lot_shows_what_it_pins(imprint: CommandLine) -> None:
    created = imprint.decide("lot", "create", "lot-2", *PINS, "--diagnostic", "0.9.0+0", "--json").result
    assert created | {"lot": "lot-2", "granted": 5, "unused": 5, "shipped": 0, "state": "open"} == created
    shown = imprint("lot", "show", "lot-2", "--json").result
    assert (shown["recipe"]["name"], shown["firmware"]["version"]) == ("typical", "1.0.0+0")
    released = imprint("release", "show", "--product", "lamp", "--version", "0.9.0", "--role", "diagnostic", "--json")
    assert shown["diagnostic"] == {"version": "0.9.0+0", "sha256": released.result["image"]}
    assert [lot["lot"] for lot in imprint("lot", "list", "--json").result["lots"]] == [LOT, "lot-2"]


def test_a_refund_gives_places_back_up_to_the_cap(imprint: CommandLine) -> None:
    refund = ("lot", "refund", LOT, "--count", 1, "--reason", "I have the board", "--json")
    assert imprint.decide(*refund, code=4).error["rule"] == "refunds-used-up", "none unless it was created with some"
    created = imprint.decide("lot", "create", "lot-2", *PINS, "--diagnostic", "0.9.0", "--refunds-at-most", 2)
    assert created.code == 0
    assert imprint("lot", "show", "lot-2", "--json").result["refunds_at_most"] == 2
    in_lot_2 = ("lot", "refund", "lot-2", "--count", 1, "--reason", "I have the board", "--json")
    assert imprint.decide(*in_lot_2, code=4).error["rule"] == "not-scrapped"
    imprint("lot", "refund", LOT, "--count", 1, "--reason", " ", code=3)


def test_people_are_told_what_comes_next(imprint: CommandLine) -> None:
    created = imprint.decide("lot", "create", "lot-2", *PINS, "--diagnostic", "0.9.0")
    assert created.err == "Next: imprint station run --lot lot-2 --fixture PORT\n"
    closed = imprint.decide("lot", "close", LOT)
    assert closed.err == f"Next: imprint lot export {LOT} DIR\n"
    exported = imprint("lot", "export", LOT, "out")
    command = exported.err.removeprefix("Check it with: imprint ").split()
    assert "2" in imprint(*command).out


def test_a_recipe_of_ones_own_is_pinned_by_its_bytes(imprint: CommandLine) -> None:
    shipped = imprint("recipe", "show", "typical").out
    Path("mine.yaml").write_text(shipped.replace("name: typical", "name: mine").replace("3600", "3500"))
    imprint.decide("lot", "create", "lot-2", *PINS, "--diagnostic", "0.9.0", "--recipe", "mine.yaml")
    digest = subprocess.run(["sha256sum", "mine.yaml"], check=True, capture_output=True, text=True).stdout.split()[0]
    assert imprint("lot", "show", "lot-2", "--json").result["recipe"] == {"name": "mine", "sha256": digest}


@pytest.mark.parametrize(
    ("change", "options", "what", "next_step"),
    [
        ("", (), "the lot has none", "--diagnostic VERSION"),
        ("  - lock-debug\n", ("--diagnostic", "0.9.0"), "the recipe does not lock it", "Add 'lock-debug'"),
        ("", ("--recipe", "preprovisioned"), "key origin is device", "Use 'make-key'"),
    ],
)
def test_a_recipe_that_the_lot_cannot_run_is_not_pinned(
    imprint: CommandLine, change: str, options: tuple[str, ...], what: str, next_step: str
) -> None:
    """It is told before a passphrase is asked for: here there is no terminal to ask at."""
    before = entries(imprint)
    Path("mine.yaml").write_text(imprint("recipe", "show", "typical").out.replace(change, ""))
    recipe = () if "--recipe" in options else ("--recipe", "mine.yaml")
    refused = imprint("lot", "create", "lot-2", *PINS, *recipe, *options, "--json", code=3).error
    assert (what in refused["what"], next_step in refused["next_step"]) == (True, True), refused
    assert entries(imprint) == before


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--count", 0), "bad-request"),
        (("--count", -1), "bad-request"),
        (("--product", "candle"), "unknown-product"),
        (("--release", "7.0.0"), "unknown-release"),
        (("--diagnostic", "1.0.0"), "unknown-release"),
    ],
)
def test_what_the_authority_refuses_is_logged(imprint: CommandLine, options: tuple[object, ...], rule: str) -> None:
    before = entries(imprint)
    create = ("lot", "create", "lot-2", *PINS, "--diagnostic", "0.9.0", *options, "--json")
    assert imprint.decide(*create, code=4).error["rule"] == rule
    assert entries(imprint) == before + 1
    assert imprint("lot", "show", "lot-2", "--json", code=4).error["rule"] == "unknown-lot"


@pytest.mark.parametrize("verb", ["show", "report", "export"])
def test_a_lot_that_there_is_not(imprint: CommandLine, verb: str) -> None:
    rest = ("out",) if verb == "export" else ()
    refused = imprint("lot", verb, "lot-9", *rest, "--json", code=4).error
    assert (refused["rule"], refused["next_step"]) == ("unknown-lot", "See 'imprint lot list'")
    assert list(Path().iterdir()) == []


def test_the_report_names_who_needs_a_person(imprint: CommandLine) -> None:
    report = imprint("lot", "report", LOT, "--json").result
    assert report | SUM | {"signed": False} == report
    (unit,) = report["not_simply_shipped"]
    assert (unit["serial"], unit["state"], unit["contested"]) == ("SN-0003", "quarantined", False)
    assert imprint.decide("lot", "close", LOT, "--json").result == report | {"state": "closed", "signed": True}


def test_the_export_is_what_its_page_says(built_export: Path) -> None:
    patterns = {
        re.sub(r"<\w+>", "*", path).replace("…", "*") for path in re.findall(r"^\| `([^`|]+)` \|", PAGE, re.MULTILINE)
    }
    columns = {pattern for pattern in patterns if "." not in pattern and "/" not in pattern}
    files = [str(path.relative_to(built_export)) for path in built_export.rglob("*") if path.is_file()]
    matched = {pattern: [name for name in files if fnmatch(name, pattern)] for pattern in patterns - columns}
    assert all(matched.values()), matched
    assert {name for names in matched.values() for name in names} == set(files)
    with (built_export / "devices.csv").open(newline="") as file:
        devices = list(csv.DictReader(file))
    assert set(devices[0]) == columns | {"mac"}
    assert [(row["serial"], row["mac"], row["contested"]) for row in devices] == [
        ("SN-0001", "02:00:5e:00:00:01", "0"),
        ("SN-0002", "02:00:5e:00:00:02", "0"),
    ]


def test_the_list_of_devices_has_the_hashes_that_openssl_finds(built_export: Path) -> None:
    with (built_export / "devices.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    certificate = built_export / "units" / row["serial"] / "cert.pem"
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert shown.strip().partition("=")[2].replace(":", "").lower() == row["certificate_sha256"]


def test_an_export_appears_whole_or_not_at_all(imprint: CommandLine) -> None:
    assert imprint("lot", "export", LOT, "out", "--json", code=4).error["next_step"].endswith(f"lot close {LOT}' first")
    imprint.decide("lot", "close", LOT)
    Path("out").mkdir()
    Path("out/mine").touch()
    assert imprint("lot", "export", LOT, "out", "--json", code=6).error["what"] == "there is something here already"
    assert [path.name for path in Path().rglob("*")] == ["out", "mine"]
    shutil.rmtree(imprint.workspace / "ledger" / "tile" / "0")
    imprint("lot", "export", LOT, "new", code=10)
    assert sorted(path.name for path in Path().rglob("*")) == ["mine", "out"]


def test_the_recipes_that_ship(imprint: CommandLine) -> None:
    shipped = imprint("recipe", "list", "--json").result["recipes"]
    assert [row["recipe"] for row in shipped] == ["preprovisioned", "typical"]
    for row in shipped:
        Path("copy.yaml").write_text(imprint("recipe", "show", row["recipe"]).out)
        checked = imprint("recipe", "check", "copy.yaml", "--json").result
        assert (checked["recipe"], len(checked["steps"])) == (row["recipe"], row["steps"])


def test_a_recipe_that_is_none(imprint: CommandLine) -> None:
    for verb in ("show", "check"):
        refused = imprint("recipe", verb, "typicle", code=3)
        assert refused.err.endswith("The recipes that ship are preprovisioned, typical\n")
    Path("bad.yaml").write_text(imprint("recipe", "show", "typical").out.replace("- certify", "- certifie"))
    assert imprint("recipe", "check", "bad.yaml", "--json", code=3).error["subject"] == "bad.yaml:15"
