"""The commands that the project promises, judged by openssl, imgtool and smpmgr."""

import csv
import json
import re
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from production_line import IMPRINT, LOT, Line, make_line, run, served, statuses

UNITS, BAD = 24, 3
MICROBIT = Path("/usr/share/firmware-microbit-micropython/firmware.hex")
FIELDS = ["lot", "granted", "refunded", "shipped", "scrapped", "quarantined", "unused", "ledger", "export"]


def run_demo(folder: Path, *options: str) -> dict[str, Any]:
    """The demonstration's result."""
    done = run([*IMPRINT, "demo", "--units", str(UNITS), "--fixtures", "8", "--dir", str(folder), "--json", *options])
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_demo(tmp_path_factory.mktemp("demo") / "D")


@pytest.fixture(scope="module")
def export(result: dict[str, Any]) -> Path:
    return Path(result["export"])


@pytest.fixture(scope="module")
def certificates(export: Path) -> list[str]:
    """Each identity as openssl describes it."""
    return [openssl("x509", "-noout", "-text", "-in", str(path)) for path in sorted(export.glob("units/*/cert.pem"))]


def openssl(*arguments: str, cwd: Path | None = None) -> str:
    done = run(["openssl", *arguments], cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def imgtool_accepts(image: Path, key: Path) -> bool:
    program = "from imgtool.main import imgtool; imgtool()"
    done = run([sys.executable, "-c", program, "verify", "-k", str(key), str(image)])
    return done.returncode == 0 and "Image was correctly validated" in done.stdout


def smpmgr(port: Path, *arguments: str) -> str:
    """As in the promise: no options but the port."""
    done = run([str(Path(sys.executable).with_name("smpmgr")), "--port", str(port), *arguments])
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def flipped(image: Path, folder: Path) -> Path:
    """A copy with one bit of its payload changed."""
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 1
    changed = folder / f"flipped-{image.name}"
    changed.write_bytes(data)
    return changed


def test_the_result_adds_up(result: dict[str, Any]) -> None:
    assert list(result) == FIELDS
    assert (result["granted"], result["refunded"], result["shipped"]) == (UNITS, 0, UNITS - BAD)
    accounted = result["shipped"] + result["scrapped"] + result["quarantined"] + result["unused"]
    assert accounted == result["granted"] + result["refunded"]
    assert list(result["ledger"]) == ["size", "root"]
    assert re.fullmatch("[0-9a-f]{64}", result["ledger"]["root"])
    checkpoint = (Path(result["export"]) / "ledger" / "checkpoint").read_text().splitlines()
    assert checkpoint[1] == str(result["ledger"]["size"])


def test_openssl_verifies_all_identities_in_one_call(export: Path) -> None:
    paths = [str(path.relative_to(export)) for path in sorted(export.glob("units/*/cert.pem"))]
    told = openssl("verify", "-CAfile", "root.pem", "-untrusted", "ca.pem", *paths, cwd=export)
    assert told.splitlines() == [f"{path}: OK" for path in paths]
    assert len(paths) == UNITS - BAD


def test_identities_are_those_of_802_1ar(export: Path, certificates: list[str]) -> None:
    hardware_ids = {row["serial"]: row["hardware_id"] for row in devices(export)}
    for path, text in zip(sorted(export.glob("units/*")), certificates, strict=True):
        assert re.search(rf"Subject:.*serialNumber ?= ?{path.name}\b", text)
        assert "Not After : Dec 31 23:59:59 9999 GMT" in text
        assert "X509v3 Authority Key Identifier" in text
        assert "othername" in text
        fields = openssl("asn1parse", "-in", str(path / "cert.pem"))
        offset = re.search(r"X509v3 Subject Alternative Name.*?\n\s*(\d+):.*OCTET STRING", fields, re.DOTALL)
        assert offset
        name = openssl("asn1parse", "-in", str(path / "cert.pem"), "-strparse", offset[1])
        assert "1.3.6.1.5.5.7.8.4" in name or "id-on-hardwareModuleName" in name
        assert f"[HEX DUMP]:{hardware_ids[path.name].upper()}" in name


def devices(export: Path) -> list[dict[str, str]]:
    with (export / "devices.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_nothing_occurs_twice(export: Path, certificates: list[str]) -> None:
    keys = [re.search(r"pub:\n((?:\s+[0-9a-f:]+\n)+)", text) for text in certificates]
    assert len({"".join(key[1].split()) for key in keys if key}) == UNITS - BAD
    for column in ("serial", "hardware_id"):
        values = [row[column] for row in devices(export)]
        assert len(set(values)) == len(values) == UNITS - BAD


def test_imgtool_accepts_each_release_and_no_flipped_one(export: Path, tmp_path: Path) -> None:
    images = sorted((export / "releases").glob("*.bin"))
    assert len(images) == 2
    for image in images:
        assert imgtool_accepts(image, export / "firmware-key.pem")
        assert not imgtool_accepts(flipped(image, tmp_path), export / "firmware-key.pem")


def test_a_folder_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = run([*IMPRINT, "demo", "--dir", str(tmp_path)])
    assert done.returncode == 6
    assert "something here already" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_too_few_units_for_the_story(tmp_path: Path) -> None:
    done = run([*IMPRINT, "demo", "--units", "3", "--dir", str(tmp_path / "D")])
    assert done.returncode == 2
    assert "--units" in done.stderr
    assert "4" in done.stderr
    assert not (tmp_path / "D").exists()


@pytest.mark.skipif(not MICROBIT.exists(), reason="Debian's package firmware-microbit-micropython is not installed")
def test_a_real_image_ships(tmp_path: Path) -> None:
    """MicroPython of the micro:bit, as Intel HEX; and a unit refuses it after one flipped bit."""
    result = run_demo(tmp_path / "D", "--firmware", str(MICROBIT))
    assert (result["shipped"], result["granted"]) == (UNITS - BAD, UNITS)
    export = Path(result["export"])
    key, releases = export / "firmware-key.pem", export / "releases"
    (production,), (diagnostic,) = releases.glob("production-*"), releases.glob("diagnostic-*")
    assert b"MicroPython" in production.read_bytes()
    assert imgtool_accepts(production, key)
    assert not imgtool_accepts(flipped(production, tmp_path), key)
    with served(tmp_path / "V", 1, options=("--boot-key", str(key))):
        port = tmp_path / "V" / "0"
        assert upgrade(port, diagnostic, diagnostic) == "0.9.0"
        assert upgrade(port, flipped(production, tmp_path), production) == "0.9.0", "the old image still runs"
        assert upgrade(port, production, production) == "1.0.0"


def upgrade(port: Path, image: Path, as_named_by: Path) -> str:
    """Upload an image with smpmgr, mark it by its hash (the flipped image keeps that of the good one), reset; the
    version that runs then."""
    listed = run([sys.executable, "-c", "from imgtool.main import imgtool; imgtool()", "dumpinfo", str(as_named_by)])
    digest = re.search(r"type: SHA256.*?data: ((?:0x[0-9a-f]{2}\s*)+)", listed.stdout, re.DOTALL)
    assert digest, listed.stdout
    smpmgr(port, "image", "upload", str(image))
    smpmgr(port, "image", "state-write", digest[1].replace("0x", "").replace(" ", "").strip())
    smpmgr(port, "os", "reset")
    found = re.search(r"slot=0,\s+version='([^']+)'", smpmgr(port, "image", "state-read"))
    assert found
    return found[1]


def test_the_manual_path(tmp_path: Path) -> None:
    """Virtual units in one window, smpmgr and the station in another."""
    line = make_line(tmp_path, count=3)
    with served(line.bench, 3):
        assert "r='hi'" in smpmgr(line.bench / "0", "os", "echo", "hi")
        assert "No images" in smpmgr(line.bench / "0", "image", "state-read")
        image = tmp_path / "image.bin"
        image.write_bytes(blob_of_release(line, "diagnostic"))
        smpmgr(line.bench / "0", "image", "upload", str(image))
        assert "slot=1" in smpmgr(line.bench / "0", "image", "state-read")
        fixtures = [text for unit in "01" for text in ("--fixture", str(line.bench / unit))]
        done = run(line.command("station", "run", "--lot", LOT, *fixtures, "--json"))
        assert statuses(done) == ["complete"] * 2
    assert (line.bench / "units" / "0" / "certificate.der").exists()


def blob_of_release(line: Line, role: str) -> bytes:
    """The signed image, as the lot's station gets it."""
    with sqlite3.connect(f"file:{line.workspace}/imprint.db?mode=ro", uri=True) as database:
        query = "SELECT data FROM releases JOIN blobs ON image = sha256 WHERE role = ?"
        (row,) = database.execute(query, (role,)).fetchall()
    return bytes(row[0])


def test_the_same_line_over_the_network(result: dict[str, Any], tmp_path: Path) -> None:
    """Two stations, each a program with its own certificate, and the authority as a service: the same counts."""
    served_result = run_demo(tmp_path / "D", "--serve")
    names = ("granted", "refunded", "shipped", "scrapped", "quarantined", "unused")
    assert {name: served_result[name] for name in names} == {name: result[name] for name in names}
    export = Path(served_result["export"])
    certificates = [str(path) for path in sorted(export.glob("units/*/cert.pem"))]
    assert len(certificates) == UNITS - BAD
    verified = openssl("verify", "-CAfile", "root.pem", "-untrusted", "ca.pem", *certificates, cwd=export)
    assert verified.count(": OK") == UNITS - BAD
    for name in ("bench-1", "bench-2"):
        told = (tmp_path / "D" / name / "station.log").read_text()
        assert "PRIVATE KEY" not in told
