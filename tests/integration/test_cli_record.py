"""``imprint record``: what the next party does with an export, without us."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import LOT, CommandLine, copied
from imprint.errors import InputError, LedgerError
from imprint.verify_record import releases_of_export, sum_of_export, trust_of_export, verify_exported_unit


@pytest.fixture
def export(built_export: Path, tmp_path: Path) -> Path:
    """An export to spoil."""
    return copied(built_export, tmp_path / "export")


def flips(path: Path, step: int) -> Iterator[int]:
    """Change one byte of the file at a time; it is whole again afterwards."""
    data = path.read_bytes()
    for at in range(0, len(data), step):
        path.write_bytes(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])
        yield at
    path.write_bytes(data)


def test_an_export_needs_no_workspace(imprint: CommandLine, export: Path) -> None:
    shutil.rmtree(imprint.workspace)
    verify = ("record", "verify", "--export", export)
    found = imprint(*verify, "--json").result
    assert [row["serial"] for row in found["records"]] == ["SN-0001", "SN-0002"]
    one = imprint(*verify, export / "units/SN-0002/record.json", "--json").result
    assert [row["serial"] for row in one["records"]] == ["SN-0002"]
    assert "Compare root.pem and ledger/vkey" in imprint(*verify).err
    command = ["openssl", "verify", "-CAfile", "root.pem", "-untrusted", "ca.pem"]
    subprocess.run([*command, "units/SN-0001/cert.pem", "units/SN-0002/cert.pem"], cwd=export, check=True)


def test_the_workspaces_own_records(imprint: CommandLine) -> None:
    assert imprint("record", "verify", "--json").result["verified"] == 2
    shown = imprint("record", "show", "SN-0002", "--json").result
    assert (shown["serial"], shown["lot"], shown["firmware"]["version"]) == ("SN-0002", LOT, "1.0.0+0")
    assert {row["claim"] for row in shown["evidence"]} >= {"hardware-id", "identity", "firmware", "boot-key", "debug"}


def test_a_unit_without_a_record(imprint: CommandLine) -> None:
    assert imprint("record", "show", "SN-0003", "--json", code=4).error["rule"] == "wrong-state"
    assert imprint("record", "show", "../SN-0001", "--json", code=4).error["rule"] == "unknown-unit"


@pytest.mark.parametrize("name", ["record.json", "record.tlog-proof"])
def test_no_byte_of_a_record_or_proof_can_change(export: Path, name: str) -> None:
    trust = trust_of_export(export)
    releases = releases_of_export(trust, export)
    unit = export / "units" / "SN-0001"
    verify_exported_unit(trust, releases, unit)
    for at in flips(unit / name, step=7):
        with pytest.raises((InputError, LedgerError)) as caught:
            verify_exported_unit(trust, releases, unit)
        assert "SN-0001" in caught.value.subject, at


@pytest.mark.parametrize(
    "name",
    [
        *("units/SN-0002/cert.pem", "ca.pem", "root.pem", "record-key.pem", "firmware-key.pem", "ledger/vkey"),
        "releases/production-1.0.0+0.bin",
    ],
)
def test_every_file_matters(imprint: CommandLine, export: Path, name: str) -> None:
    path = export / name
    whole = path.read_bytes()
    for _ in flips(path, step=max(61, len(whole) // 9)):
        if path.read_bytes().split() != whole.split():  # PEM does not mind which blanks end a line
            ended = imprint.attempt("record", "verify", "--export", export, "--json")
            assert ended.code in (3, 10), (name, ended)
    path.unlink()
    assert imprint.attempt("record", "verify", "--export", export).code in (9, 10)


@pytest.mark.parametrize("name", ["record.json", "cert.pem", "record.tlog-proof"])
def test_papers_of_another_unit(imprint: CommandLine, export: Path, name: str) -> None:
    shutil.copy(export / "units/SN-0002" / name, export / "units/SN-0001" / name)
    refused = imprint("record", "verify", "--export", export, "--json", code=10).error
    assert refused["subject"].startswith(str(export / "units/SN-0001"))


def test_a_folder_under_another_name(imprint: CommandLine, export: Path) -> None:
    (export / "units/SN-0001").rename(export / "units/SN-0009")
    refused = imprint("record", "verify", "--export", export, "--json", code=10).error
    assert refused["what"] == "the record is another unit's"


def test_an_export_whose_owner_is_another(imprint: CommandLine, export: Path) -> None:
    """Records of this ledger, under the keys of somebody else."""
    imprint.decide("init", "other", "--root-passphrase-file", imprint.passphrase_file)
    swaps = {
        "record-key.pem": ("other/keys/record.pub.pem", 3),
        "firmware-key.pem": ("other/keys/firmware.pub.pem", 3),
        "ledger/vkey": ("other/ledger/vkey", 10),
        "ca.pem": ("other/certs/ca.pem", 10),
        "root.pem": ("other/certs/root.pem", 10),
    }
    for name, (source, code) in swaps.items():
        whole = (export / name).read_bytes()
        shutil.copy(source, export / name)
        imprint("record", "verify", "--export", export, code=code)
        (export / name).write_bytes(whole)
    # A unit's certificate chains to the same root, and is no authority.
    shutil.copy(export / "units/SN-0002/cert.pem", export / "ca.pem")
    assert "it may not issue certificates" in imprint("record", "verify", "--export", export, code=3).err


def test_what_is_no_export(imprint: CommandLine, tmp_path: Path) -> None:
    imprint("record", "verify", "--export", tmp_path / "nowhere", code=9)
    refused = imprint("record", "verify", "record.json", code=3)
    assert "Name it with --export DIR" in refused.err


@pytest.mark.parametrize("units", ["*", "SN-0002"])
def test_an_export_from_which_units_are_missing(imprint: CommandLine, export: Path, units: str) -> None:
    for folder in list((export / "units").glob(units)):
        shutil.rmtree(folder)
    refused = imprint("record", "verify", "--export", export, "--json", code=10).error
    assert "2 units of lot lot-1 shipped, and " in refused["what"]
    assert "Ask whoever exported it" in refused["next_step"]


def test_no_byte_that_changes_goes_into_the_sum(export: Path) -> None:
    trust = trust_of_export(export)
    whole = sum_of_export(trust, export)
    assert whole.shipped == 2
    refused = 0
    for at in flips(export / "reconciliation.json", step=7):
        try:
            found = sum_of_export(trust, export)
        except InputError:
            refused += 1
        else:
            assert found == whole, at  # the hint at the key is not signed, and decides nothing
    assert refused > 100


def test_openssl_verifies_the_signature_of_the_sum(export: Path, tmp_path: Path) -> None:
    envelope = json.loads((export / "reconciliation.json").read_bytes())
    kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
    signed, signature = tmp_path / "signed", tmp_path / "signature"
    signed.write_bytes(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload))
    signature.write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", f"{export}/record-key.pem", "-rawin"]
    subprocess.run([*command, "-in", str(signed), "-sigfile", str(signature)], check=True)
    assert json.loads(payload)["predicate"]["shipped"] == 2


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"payload": 1}', b"{" * 100_000, b"x" * (2 << 20)])
@pytest.mark.parametrize("name", ["record.json", "cert.pem", "record.tlog-proof"])
def test_papers_that_are_none(imprint: CommandLine, export: Path, name: str, data: bytes) -> None:
    (export / "units/SN-0001" / name).write_bytes(data)
    imprint("record", "verify", "--export", export, code=3)
