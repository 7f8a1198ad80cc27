"""``imprint init``: what it makes, judged by openssl, and what it refuses without leaving anything behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import PASSPHRASE, CommandLine

ROOT_PASSPHRASE = "a lantern in the bell tower"
KEYS = ("device-ca", "ledger", "record", "firmware")


@pytest.fixture
def root_file(tmp_path: Path) -> Path:
    file = tmp_path / "root-passphrase"
    file.touch(mode=0o600)
    file.write_text(ROOT_PASSPHRASE + "\n")
    return file


def opens(key: Path, passphrase: str) -> bool:
    command = ["openssl", "pkey", "-in", str(key), "-passin", "stdin", "-noout"]
    return subprocess.run(command, input=passphrase.encode(), capture_output=True, check=False).returncode == 0


def test_keys_that_openssl_opens_with_their_own_passphrase_only(imprint: CommandLine, root_file: Path) -> None:
    made = imprint.decide("init", "acme", "--root-passphrase-file", root_file, "--organization", "Acme Ltd", "--json")
    acme = Path(made.result["workspace"])
    for name in KEYS:
        assert opens(acme / "keys" / f"{name}.pem", PASSPHRASE), name
        assert not opens(acme / "keys" / f"{name}.pem", ROOT_PASSPHRASE), name
    root_key = Path(made.result["root_key"]) / "root.pem"
    assert opens(root_key, ROOT_PASSPHRASE)
    assert not opens(root_key, PASSPHRASE)
    private = [*(acme / "keys" / f"{name}.pem" for name in KEYS), root_key, acme / "imprint.db"]
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    assert acme.stat().st_mode & 0o777 == 0o700
    certs = acme / "certs"
    verified = subprocess.run(["openssl", "verify", "-CAfile", certs / "root.pem", certs / "ca.pem"], check=False)
    assert verified.returncode == 0
    subject = subprocess.check_output(
        ["openssl", "x509", "-in", certs / "ca.pem", "-noout", "-subject", "-nameopt", "multiline"]
    )
    assert b"organizationName          = Acme Ltd" in subject


def test_the_root_key_goes_elsewhere_when_asked(imprint: CommandLine, root_file: Path, tmp_path: Path) -> None:
    vault = tmp_path / "vault" / "root"
    imprint.decide("init", "acme", "--root-passphrase-file", root_file, "--root-out", vault)
    assert opens(vault / "root.pem", ROOT_PASSPHRASE)
    assert not list(Path("acme").rglob("root/*"))
    again = imprint.decide("init", "b", "--root-passphrase-file", root_file, "--root-out", vault, code=6)
    assert "there is a root CA here already" in again.err
    assert not Path("b").exists()


def test_people_are_told_what_to_do_next(imprint: CommandLine, root_file: Path) -> None:
    said = imprint.decide("init", "acme", "--root-passphrase-file", root_file).err
    assert f"Move the folder {Path('acme/root').absolute()} to a medium that you keep off-line" in said
    assert "imprint -C acme product add product.yaml" in said
    assert "Both passphrases" not in said
    assert (
        "Both passphrases are the same"
        in imprint.decide("init", "b", "--root-passphrase-file", imprint.passphrase_file).err
    )


def test_both_passphrases_through_one_descriptor(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, f"{PASSPHRASE}\n{ROOT_PASSPHRASE}\n".encode())
    os.close(writing)
    fds = ["--passphrase-fd", str(reading), "--root-passphrase-fd", str(reading)]
    subprocess.run(
        [sys.executable, "-m", "imprint", "init", "acme", *fds],
        cwd=tmp_path,
        pass_fds=[reading],
        stdin=subprocess.DEVNULL,
        check=True,
    )
    os.close(reading)
    assert opens(tmp_path / "acme/keys/ledger.pem", PASSPHRASE)
    assert opens(tmp_path / "acme/root/root.pem", ROOT_PASSPHRASE)


def test_a_folder_that_is_taken_is_refused_before_a_passphrase_is_asked_for(imprint: CommandLine) -> None:
    before = sorted(imprint.workspace.rglob("*"))
    refused = imprint("init", imprint.workspace, "--json", code=6)
    assert refused.error["what"] == "there is something here already"
    assert sorted(imprint.workspace.rglob("*")) == before


@pytest.mark.parametrize(
    ("passphrase", "mode", "what"),
    [
        ("short", 0o600, "shorter than 12 characters"),
        ("", 0o600, "the passphrase is empty"),
        (PASSPHRASE, 0o644, "others than its owner may use this file"),
    ],
)
def test_a_passphrase_that_protects_nothing(
    imprint: CommandLine, root_file: Path, passphrase: str, mode: int, what: str
) -> None:
    imprint.passphrase_file.write_text(passphrase)
    imprint.passphrase_file.chmod(mode)
    assert what in imprint.decide("init", "acme", "--root-passphrase-file", root_file, code=7).err
    assert list(Path().iterdir()) == []


def test_without_a_terminal_the_way_out_is_named(imprint: CommandLine, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "imprint", "init", "acme"]
    done = subprocess.run(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, process_group=0
    )
    assert done.returncode == 7
    assert "--passphrase-file" in done.stderr


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 65, "tab\there"])
def test_a_name_that_no_certificate_can_hold(imprint: CommandLine, root_file: Path, name: str) -> None:
    imprint.decide("init", "acme", "--root-passphrase-file", root_file, "--organization", name, code=3)
    assert list(Path().iterdir()) == []


def test_a_place_that_cannot_be_written(imprint: CommandLine, root_file: Path) -> None:
    refused = imprint.decide("init", "/proc/acme", "--root-passphrase-file", root_file, code=9)
    assert refused.err.startswith("imprint: /proc/")


def test_a_quoted_name_comes_back_as_it_was(imprint: CommandLine, root_file: Path) -> None:
    name = 'Ørsted "A\\B" & Søn'
    imprint.decide("init", "acme", "--root-passphrase-file", root_file, "--organization", name)
    found = imprint("-C", "acme", "doctor", "--json").result["checks"]
    assert next(row["found"] for row in found if row["check"] == "settings").startswith(name)
