"""``imprint crl``, and what ``doctor`` says of it; openssl judges the lists, and the units by them."""

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from command_line import LOT, CommandLine
from imprint.cli import doctor
from imprint.formats.x509 import certificate_pem
from imprint.reader import open_reader

REVOKE = ("unit", "revoke", "SN-0001", "--reason", "keyCompromise", "--note", "stolen from the van")
SCRAP = ("unit", "scrap", "SN-0003", "--reason", "burnt")


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)


def verdict(imprint: CommandLine, serial: str) -> str:
    """What openssl says of the unit's certificate, with the list beside it."""
    with open_reader(imprint.workspace).store.reading() as store:
        (unit,) = store.find("units", serial=serial)
        Path("unit.pem").write_bytes(certificate_pem(store.blob(unit["certificate"])))
    certs = imprint.workspace / "certs"
    chain = ("-CAfile", certs / "root.pem", "-untrusted", certs / "ca.pem", "-CRLfile", certs / "crl.pem")
    done = openssl("verify", "-x509_strict", "-crl_check", *chain, "unit.pem")
    found = re.search(r"error \d+ at 0 depth lookup: (.*)", done.stderr)
    assert (done.returncode == 0) == (found is None), done.stderr
    return found[1] if found else "OK"


def test_openssl_tells_the_living_from_the_revoked(imprint: CommandLine) -> None:
    imprint.decide("crl", "sign")
    assert [verdict(imprint, f"SN-000{number}") for number in (1, 2, 3)] == ["OK"] * 3, "the list is empty"
    imprint.decide(*REVOKE)
    assert verdict(imprint, "SN-0001") == "OK", "no list says so yet"
    imprint.decide(*SCRAP)
    imprint.decide("crl", "sign")
    revoked = "certificate revoked"
    assert [verdict(imprint, f"SN-000{number}") for number in (1, 2, 3)] == [revoked, "OK", revoked]


def test_openssl_reads_the_list(imprint: CommandLine) -> None:
    imprint.decide(*REVOKE)
    imprint.decide("crl", "sign", "--days", 30)
    imprint.decide(*SCRAP)
    imprint.decide("crl", "sign")
    certs = imprint.workspace / "certs"
    checked = openssl(
        "crl", "-in", certs / "crl.pem", "-noout", "-text", "-nameopt", "oneline", "-CAfile", certs / "ca.pem"
    )
    assert (checked.returncode, checked.stderr.strip()) == (0, "verify OK")
    text = checked.stdout
    assert "Version 2 (0x1)" in text
    assert "Issuer: O = " in text
    assert re.search(r"X509v3 CRL Number: \n\s+2\n", text)
    ski = openssl("x509", "-in", certs / "ca.pem", "-noout", "-ext", "subjectKeyIdentifier").stdout.split()[-1]
    assert f"X509v3 Authority Key Identifier: \n                {ski}\n" in text
    assert sorted(re.findall(r"CRL Reason Code: \n\s+(.*)", text)) == ["Cessation Of Operation", "Key Compromise"]
    shown = imprint("crl", "show", "--json").result["certificates"]
    assert {f"{row['number']:0>32}".upper() for row in shown} == set(re.findall(r"Serial Number: (\w+)", text))
    times = dict(re.findall(r"(Last|Next) Update: (.*) GMT", text))
    last, following = (datetime.strptime(times[name], "%b %d %H:%M:%S %Y") for name in ("Last", "Next"))
    assert following - last == timedelta(days=7)
    wrong = openssl("crl", "-in", certs / "crl.pem", "-noout", "-CAfile", certs / "root.pem")
    assert wrong.returncode != 0 or "verify OK" not in wrong.stderr


def test_the_last_list_is_shown_without_a_passphrase(imprint: CommandLine) -> None:
    assert imprint("crl", "show", "--json", code=4).error["next_step"] == "Make one: 'imprint crl sign'"
    imprint.decide(*REVOKE)
    signed = imprint.decide("crl", "sign", "--json").result
    assert (signed["number"], signed["revoked"]) == (1, 1)
    assert signed["file"] == str(imprint.workspace / "certs" / "crl.pem")
    imprint.decide(*SCRAP)
    shown = imprint("crl", "show", "--json").result
    assert (shown["number"], shown["revoked"], shown["revoked_since"]) == (1, 1, 1)
    (row,) = shown["certificates"]
    assert (row["serial"], row["reason"]) == ("SN-0001", "keyCompromise")
    for days in (0, 367):
        assert imprint.decide("crl", "sign", "--days", days, "--json", code=4).error["rule"] == "bad-request"
    imprint("ledger", "verify")


def finding(imprint: CommandLine) -> tuple[str, str]:
    rows = imprint("doctor", "--json").result["checks"]
    found = next(row for row in rows if row["check"] == "revocation list")
    return found["status"], found["found"]


def test_doctor_warns_of_a_list_that_is_not_what_it_should_be(
    imprint: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finding(imprint) == ("ok", "none is needed yet")
    imprint.decide(*REVOKE)
    missing = "certificates that are revoked and on no list: 1"
    assert finding(imprint) == ("warn", missing)
    imprint.decide("crl", "sign")
    assert finding(imprint)[0] == "ok"
    imprint.decide(*SCRAP)
    assert finding(imprint) == ("warn", missing)
    imprint.decide("crl", "sign")
    file = imprint.workspace / "certs" / "crl.pem"
    kept = file.read_bytes()
    file.unlink()
    assert finding(imprint) == ("warn", f"{file} is not number 2, the last one")
    file.write_bytes(kept)
    assert finding(imprint)[0] == "ok"
    later = datetime.now(UTC) + timedelta(days=7, minutes=1)
    monkeypatch.setattr(doctor, "system_clock", lambda: later)
    status, found = finding(imprint)
    assert (status, found[:14]) == ("warn", "number 2 ended")


def test_whoever_has_the_export_learns_what_is_revoked(imprint: CommandLine) -> None:
    imprint.decide("lot", "close", LOT)
    imprint.decide(*REVOKE)
    imprint("lot", "export", LOT, "early")
    imprint.decide("crl", "sign")
    imprint("lot", "export", LOT, "late")

    def told(export: str) -> dict[str, bool]:
        rows = imprint("record", "verify", "--export", export, "--json").result["records"]
        return {row["serial"]: row["revoked"] is not None for row in rows}

    assert told("early") == {"SN-0001": False, "SN-0002": False}
    assert told("late") == {"SN-0001": True, "SN-0002": False}
    one = imprint("record", "verify", "--export", "late", "late/units/SN-0002/record.json", "--json").result
    assert [row["revoked"] for row in one["records"]] == [None]
    shutil.copy("late/crl.pem", "early/crl.pem")
    assert told("early") == told("late"), "a newer list goes in the place of the old one"


def test_a_forged_list_is_no_list(imprint: CommandLine, built_workspace: Path) -> None:
    imprint.decide("lot", "close", LOT)
    imprint("lot", "export", LOT, "out")
    imprint.decide("init", "other", "--root-passphrase-file", imprint.passphrase_file)
    imprint.decide("-C", "other", "crl", "sign")
    for data in (Path("other/certs/crl.pem").read_bytes(), b"no list", b""):
        Path("out/crl.pem").write_bytes(data)
        assert imprint("record", "verify", "--export", "out", "--json", code=3).error["subject"] == "revocation list"
