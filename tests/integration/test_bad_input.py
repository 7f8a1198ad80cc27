"""What a person can get wrong about lots, stations, virtual units and the demonstration: told clearly, with what to do
and an exit code, and nothing changed. The commands run in this process, as the program would run them.
"""

import io
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from imprint import cli
from imprint.cli.errors import exit_code_of
from production_line import IMPRINT, Line, error_of, litter, make_line, served, statuses, units_of

PINS = ("--product", "lamp", "--release", "1.0.0", "--diagnostic", "0.9.0")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    made = make_line(tmp_path_factory.mktemp("line"), count=2)
    with served(made.bench, 2):
        yield made


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """As :func:`production_line.run`, without a new process."""
    arguments = command[len(IMPRINT) :]
    with redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()) as errors:
        code = exit_code_of(lambda: cli.run(arguments), as_json="--json" in arguments)
    return subprocess.CompletedProcess(command, code, output.getvalue(), errors.getvalue())


def entries(line: Line) -> int:
    with sqlite3.connect(f"file:{line.workspace}/imprint.db?mode=ro", uri=True) as database:
        (count,) = database.execute("SELECT count(*) FROM entries").fetchone()
    return int(count)


RECIPE = "format: imprint-recipe/1\nname: mine\nsteps:\n"
RECIPES = {
    "an unknown step": (RECIPE + "  - identify\n  - clame\n", ":5", "there is no step 'clame'"),
    "not YAML": ("format: imprint-recipe/1\nname: [mine\nsteps:\n", ":3", "not YAML"),
    "an unknown option": (RECIPE + "  - identify\n  - claim\n  - self-test: {limit: {}}\n", ":6", "limit"),
    "a key twice": (RECIPE + "  - identify\nname: again\n", ":5", "name"),
    "nothing": ("", "", "empty"),
    "a list": ("- identify\n", ":1", ""),
    "another format": (RECIPE.replace("/1", "/99") + "  - identify\n", ":1", "format"),
    "an endless alias": ("a: &a [*a]\n", "", ""),
    "a tag that would run code": (RECIPE + "  - !!python/object/apply:os.system ['true']\n", ":4", ""),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_wrong_recipe_is_named_with_its_line(line: Line, tmp_path: Path, name: str) -> None:
    text, place, words = RECIPES[name]
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    before = entries(line)
    done = run(line.command("lot", "create", "L2", "--count", "2", *PINS, "--recipe", str(path), "--json"))
    error = error_of(done)
    assert error["exit_code"] == 3
    assert error["subject"].startswith(f"{path}{place}")
    assert words in error["what"]
    assert entries(line) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("L2", "--count", "0", *PINS), 4, "1 to 10000000 units, not 0"),
        (("L2", "--count", "-1", *PINS), 4, "1 to 10000000 units, not -1"),
        (("L2", "--count", "99999999999999999999", *PINS), 4, "not 99999999999999999999"),
        (("L2", "--count", "2.5", *PINS), 2, "not a valid int"),
        (("L/2", "--count", "1", *PINS), 4, "name"),
        (("L\n2", "--count", "1", *PINS), 4, "name"),
        (("..", "--count", "1", *PINS), 4, "name"),
        (("", "--count", "1", *PINS), 4, "name"),
        (("L1", "--count", "1", *PINS), 4, "already"),
        (("L2", "--count", "1", *PINS, "--product", "none"), 4, "no product none"),
        (("L2", "--count", "1", *PINS, "--release", "7.0.0"), 4, "no production release 7.0.0"),
        (("L2", "--count", "1", *PINS, "--release", "seven"), 3, "not a version"),
        (("L2", "--count", "1", *PINS[:4]), 3, "the lot has none"),
        (("L2", "--count", "1", *PINS, "--recipe", "preprovisioned"), 3, "key origin"),
        (("L2", "--count", "1", *PINS, "--recipe", "none"), 3, "neither a recipe that ships nor a file"),
    ],
)
def test_a_lot_that_cannot_be(line: Line, arguments: tuple[str, ...], code: int, words: str) -> None:
    """A refusal of the authority is logged; what it was never asked is not."""
    before = entries(line)
    done = run(line.command("lot", "create", *arguments, "--json"))
    error = error_of(done)
    assert error["exit_code"] == code
    assert words in error["what"]
    assert entries(line) == before + (code == 4)
    listed = json.loads(run([*IMPRINT, "-C", str(line.workspace), "lot", "list", "--json"]).stdout)
    assert [lot["lot"] for lot in listed["lots"]] == ["L1"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--lot", "L1", "--fixture", "{bench}/9"), 3, "no such port"),
        (("--lot", "L1", "--fixture", "{bench}/0", "--fixture", "{bench}/0"), 3, "named twice"),
        (("--lot", "L1", "--fixture", "{bench}/0", "--station", "../../x"), 3, "station's name"),
        (("--lot", "L1", "--fixture", "{bench}/0", "--baud", "0"), 2, "--baud"),
        (("--lot", "L1", "--fixture", "{bench}/0", "--at-once", "0"), 2, "--at-once"),
        (("--lot", "L1"), 2, "--fixture"),
        (("--lot", "L9", "--fixture", "{bench}/0"), 4, "no lot L9"),
    ],
)
def test_a_station_that_cannot_start(line: Line, arguments: tuple[str, ...], code: int, words: str) -> None:
    before = entries(line)
    given = [text.format(bench=line.bench) for text in arguments]
    done = run(line.command("station", "run", *given, "--json"))
    error = error_of(done)
    assert error["exit_code"] == code
    assert words in error["what"]
    assert done.stdout == ""
    assert entries(line) == before


@pytest.mark.parametrize("port", ["{bench}", "{folder}/passphrase", "/dev/null"])
def test_a_port_that_is_none(line: Line, port: str) -> None:
    fixture = port.format(bench=line.bench, folder=line.folder)
    done = run(line.command("station", "run", "--lot", "L1", "--fixture", fixture, "--json"))
    assert error_of(done)["exit_code"] == 11
    (unit,) = units_of(done)
    assert (unit["status"], unit["hardware_id"]) == ("failed", None)
    assert "the port does not open" in unit["message"]


LABELS = ["A/1", "A\n1", "../A1", "", "A" * 200, "A1\x01", "\u00c41", " A1", "a1"]


def test_a_label_that_is_no_serial_number(tmp_path: Path) -> None:
    """Refused, in the ledger, and the unit has no place; with its right label it is made, and no other gets that."""
    line = make_line(tmp_path, count=len(LABELS), serials=b"{scanned: '[A-Z][0-9]+'}")

    def labelled(labels: list[str]) -> list[dict[str, str]]:
        named = [f"{line.bench}/{unit}={label}" for unit, label in enumerate(labels)]
        fixtures = [text for fixture in named for text in ("--fixture", fixture)]
        return units_of(run(line.command("station", "run", "--lot", "L1", *fixtures, "--json")))

    with served(line.bench, len(LABELS)):
        refused = labelled(LABELS)
        assert [unit["status"] for unit in refused] == ["refused"] * len(LABELS)
        assert all(unit["message"].isprintable() for unit in refused)
        assert statuses(run(line.station([0]))) == ["refused"], "no label at all"
        assert [unit["status"] for unit in labelled(["A1"])] == ["complete"]
        _, twin, other = labelled(["A1", "A1", "B22"])
        assert (twin["status"], other["status"]) == ("refused", "complete")
        assert "given to another unit" in twin["message"]
    with sqlite3.connect(f"file:{line.workspace}/imprint.db?mode=ro", uri=True) as database:
        assert [row[0] for row in database.execute("SELECT serial FROM units ORDER BY 1")] == ["A1", "B22"]
        types = [json.loads(row[0])["type"] for row in database.execute("SELECT data FROM entries")]
    assert types.count("request.refused") == len(LABELS) + 2


FIRMWARE = {
    "empty": (b"", "empty"),
    "a HEX that ends in a record": (b":10000000000102030405060708090A0B0C0D0E0F78\n:1000", "HEX"),
    "a HEX without its end": (b":0400000001020304F2\n", "no end-of-file record"),
    "records that overlap": (b":0400000001020304F2\n:0400020001020304F0\n:00000001FF\n", "overlap"),
    "a wrong checksum": (b":0400000001020304F3\n:00000001FF\n", "checksum"),
    "far outside the image": (b":0400000001020304F2\n:020000040800F2\n:0400000001020304F2\n:00000001FF\n", ""),
}


@pytest.mark.parametrize("name", FIRMWARE)
def test_firmware_that_is_none(tmp_path: Path, name: str) -> None:
    data, words = FIRMWARE[name]
    (tmp_path / "app.hex").write_bytes(data)
    done = run([*IMPRINT, "demo", "--dir", str(tmp_path / "D"), "--firmware", str(tmp_path / "app.hex"), "--json"])
    error = error_of(done)
    assert error["exit_code"] == 3
    assert words in error["what"]
    assert not (tmp_path / "D").exists(), "nothing was begun"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--dir", "{folder}/file"), 6, "something here already"),
        (("--dir", "{folder}/file/D"), 9, "could not be made"),
        (("--dir", "{folder}/D", "--firmware", "{folder}/none"), 9, "No such file"),
        (("--dir", "{folder}/D", "--firmware", "{folder}"), 9, "Is a directory"),
        (("--dir", "{folder}/D", "--passphrase-file", "{folder}/file"), 7, ""),
        (("--dir", "{folder}/D", "--units", "0"), 2, "--units"),
        (("--dir", "{folder}/D", "--fixtures", "0"), 2, "--fixtures"),
    ],
)
def test_a_demonstration_that_cannot_start(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    (tmp_path / "file").write_text("short\n")
    given = [text.format(folder=tmp_path) for text in arguments]
    error = error_of(run([*IMPRINT, "demo", *given, "--json"]))
    assert (error["exit_code"], words in error["what"]) == (code, True), error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--count", "0"), "1 to 1000"),
        (("--count", "-1"), "1 to 1000"),
        (("--count", "1001"), "1 to 1000"),
        (("--fault", "7=hang"), "no unit 7"),
        (("--fault", "hang"), "2=self-test"),
        (("--fault", "0=fire"), "'fire'"),
        (("--fault", "0=clone=9"), "no unit 9"),
        (("--fault", "0=hang", "--fault", "0=self-test"), "named twice"),
        (("--boot-key", "{folder}/text"), "not a public key in PEM"),
        (("--boot-key", "{folder}/none"), "No such file"),
    ],
)
def test_virtual_units_that_cannot_be(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "text").write_text("text\n")
    given = [text.format(folder=tmp_path) for text in arguments]
    done = run([*IMPRINT, "virtual", "--dir", str(tmp_path / "V"), *given, "--json"])
    error = error_of(done)
    assert error["exit_code"] == 3
    assert words in error["what"] + error["next_step"]
    assert done.stdout == ""
    assert not list(tmp_path.glob("V/units/*"))


def test_one_folder_is_served_once(line: Line) -> None:
    error = error_of(run([*IMPRINT, "virtual", "--dir", str(line.bench), "--json"]))
    assert (error["kind"], error["exit_code"]) == ("ConflictError", 5)
    assert run(line.station([0])).returncode == 0, "and its units are still there"


def test_a_lot_is_closed_once_and_exported_once(tmp_path: Path) -> None:
    line = make_line(tmp_path, count=1)
    export = [*IMPRINT, "-C", str(line.workspace), "lot", "export", "L1", str(tmp_path / "out"), "--json"]
    assert error_of(run(export))["exit_code"] == 4, "an open lot"
    assert litter(tmp_path) == []
    assert run(line.command("lot", "close", "L1")).returncode == 0
    assert error_of(run(line.command("lot", "close", "L1", "--json")))["rule"] == "lot-closed"
    with served(line.bench, 1):
        assert error_of(run(line.station([0])))["rule"] == "lot-closed"
    assert run(export).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert error_of(run(export))["exit_code"] == 6, "a folder that is there"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("imprint.toml", b"[workspace\n", 6),
        ("imprint.toml", None, 6),
        ("imprint.db", b"not a database, but long enough to look like a file of some kind\n" * 20, 9),
        ("imprint.db", b"", 9),
        ("imprint.db", None, 9),
        ("keys/record.pem", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", 3),
        ("keys/record.pem", None, 9),
        ("certs/ca.pem", b"nothing", 6),
        ("ledger/vkey", b"\xff\xfe", 3),
        ("station/bench-1.journal", b"not a journal\n", 3),
    ],
)
def test_a_damaged_workspace(line: Line, tmp_path: Path, name: str, data: bytes | None, code: int) -> None:
    shutil.copytree(line.workspace, tmp_path / "W", ignore=shutil.ignore_patterns("*.journal"))
    shutil.copy2(line.passphrase_file, tmp_path)
    (tmp_path / "V").symlink_to(line.bench)
    damaged = Line(folder=tmp_path)
    path = damaged.workspace / name
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    error = error_of(run(damaged.station([0])))
    assert error["exit_code"] == code, error
    assert error["next_step"], error
    assert (path.read_bytes() if path.exists() else None) == data, "left as evidence"
    assert litter(damaged.workspace) == []


def test_all_is_well_with_good_input(line: Line) -> None:
    """The same commands as above can succeed."""
    assert run(line.command("lot", "create", "L2", "--count", "1", *PINS)).returncode == 0
    assert set(statuses(run(line.station([0, 1])))) <= {"complete", "already-complete"}
