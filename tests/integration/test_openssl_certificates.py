"""The openssl command line as judge of our certificates, requests and key files; a real firmware file as input."""

import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from intelhex import IntelHex

from imprint.authority.issuance.issuer import DeviceCa, make_device_ca, make_root
from imprint.authority.releases.seal import seal
from imprint.errors import FormatError, PassphraseError
from imprint.formats import mcuboot
from imprint.formats.firmware import parse_firmware, parse_region
from imprint.formats.profile import parse_profile
from imprint.formats.x509 import check_csr
from imprint.keys.file import create_key_file, open_key_file
from imprint.keys.signer import Algorithm
from imprint.keys.verify import encode_public_pem

NOW = datetime.now(UTC).replace(microsecond=0)
PASSPHRASE = b"a passphrase of some length"
MICROPYTHON = Path("/usr/share/firmware-microbit-micropython/firmware.hex")  # Debian: firmware-microbit-micropython

OpenSsl = Callable[..., str]
GENERATE = {
    Algorithm.P256: ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    Algorithm.ED25519: ["genpkey", "-algorithm", "ED25519"],
}


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    """Run openssl in the test's folder, where ``pass`` holds the passphrase; its output, or CalledProcessError."""
    (tmp_path / "pass").write_bytes(PASSPHRASE + b"\n")

    def run(*arguments: str) -> str:
        done = subprocess.run(["openssl", *arguments], cwd=tmp_path, capture_output=True, check=True, text=True)
        return done.stdout + done.stderr

    return run


def write_pem(path: Path, certificate: bytes) -> None:
    path.write_bytes(x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_unit_made_by_openssl_gets_an_identity_that_openssl_verifies(
    tmp_path: Path, openssl: OpenSsl, algorithm: Algorithm
) -> None:
    openssl(*GENERATE[algorithm], "-out", "unit.key")
    openssl("req", "-new", "-key", "unit.key", "-subj", "/CN=whatever", "-outform", "DER", "-out", "unit.csr")
    assert "verify OK" in openssl("req", "-in", "unit.csr", "-inform", "DER", "-noout", "-verify")
    request = (tmp_path / "unit.csr").read_bytes()
    spki = check_csr(request, algorithm=algorithm.value)

    root_key, ca_key = (
        open_key_file(create_key_file(Algorithm.P256, PASSPHRASE), PASSPHRASE, subject=name) for name in ("root", "ca")
    )
    root = make_root(root_key, organization="Acme", number=1, not_before=NOW)
    ca = make_device_ca(root_key, root, spki=ca_key.public_key, organization="Acme", number=2, not_before=NOW)
    profile = parse_profile(
        {
            "name": "sensor",
            "key_algorithm": algorithm.value,
            "key_origin": "device",
            "organization": "Acme",
            "hardware_type": "1.3.6.1.4.1.99999.7",
            "masa_url": "https://masa.example.com",
        }
    )
    leaf = DeviceCa(signer=ca_key, chain=(ca, root)).issue(
        profile=profile,
        number=0x41 << 120,
        not_before=NOW,
        serial="SN-0001",
        hardware_id=bytes.fromhex("00112233445566ff"),
        spki=spki,
    )
    for name, certificate in (("root.pem", root), ("ca.pem", ca), ("unit.pem", leaf)):
        write_pem(tmp_path / name, certificate)

    chain = ["-CAfile", "root.pem", "-untrusted", "ca.pem", "unit.pem"]
    assert openssl("verify", "-x509_strict", "-check_ss_sig", *chain).strip() == "unit.pem: OK"
    text = openssl("x509", "-in", "unit.pem", "-noout", "-text")
    assert re.search(r"Subject: O ?= ?Acme, serialNumber ?= ?SN-0001\n", text)
    assert re.search(r"Not After : Dec 31 23:59:59 9999 GMT", text)
    assert re.search(r"X509v3 Authority Key Identifier:\s+(keyid:)?([0-9A-F]{2}:){19}[0-9A-F]{2}\n", text)
    assert "X509v3 Key Usage: critical\n                Digital Signature\n" in text
    assert "othername: 1.3.6.1.5.5.7.8.4:" in text
    assert "https://masa.example.com" in text
    assert "Subject Key Identifier" not in text
    assert "Basic Constraints" not in text
    parsed = openssl("asn1parse", "-in", "unit.pem")
    name_at = re.search(r"X509v3 Subject Alternative Name\n\s*(\d+):", parsed)
    assert name_at is not None
    inside = openssl("asn1parse", "-in", "unit.pem", "-strparse", name_at[1])
    assert ":1.3.6.1.4.1.99999.7" in inside
    assert "[HEX DUMP]:00112233445566FF" in inside
    assert openssl("x509", "-in", "unit.pem", "-noout", "-pubkey") == openssl("pkey", "-in", "unit.key", "-pubout")

    write_pem(tmp_path / "other.pem", make_root(ca_key, organization="Acme", number=9, not_before=NOW))
    with pytest.raises(subprocess.CalledProcessError):
        openssl("verify", "-CAfile", "other.pem", "-untrusted", "ca.pem", "unit.pem")


@pytest.mark.parametrize("algorithm", Algorithm)
def test_openssl_opens_our_key_files(tmp_path: Path, openssl: OpenSsl, algorithm: Algorithm) -> None:
    pem = create_key_file(algorithm, PASSPHRASE)
    (tmp_path / "key.pem").write_bytes(pem)
    public = openssl("pkey", "-in", "key.pem", "-passin", "file:pass", "-pubout")
    signer = open_key_file(pem, PASSPHRASE, subject="key.pem")
    assert public.encode() == encode_public_pem(signer.public_key)
    (tmp_path / "pass").write_bytes(b"another passphrase\n")
    with pytest.raises(subprocess.CalledProcessError):
        openssl("pkey", "-in", "key.pem", "-passin", "file:pass", "-noout")


@pytest.mark.parametrize("algorithm", Algorithm)
def test_we_open_openssl_s_key_files_and_openssl_verifies_what_they_sign(
    tmp_path: Path, openssl: OpenSsl, algorithm: Algorithm
) -> None:
    openssl(*GENERATE[algorithm], "-out", "plain.pem")
    openssl("pkcs8", "-topk8", "-scrypt", "-in", "plain.pem", "-passout", "file:pass", "-out", "key.pem")
    pem = (tmp_path / "key.pem").read_bytes()
    with pytest.raises(PassphraseError):
        open_key_file(pem, b"another passphrase", subject="key.pem")
    signer = open_key_file(pem, PASSPHRASE, subject="key.pem")
    assert signer.algorithm is algorithm
    (tmp_path / "message").write_bytes(b"what is signed")
    (tmp_path / "signature").write_bytes(signer.sign(b"what is signed"))
    (tmp_path / "public.pem").write_bytes(encode_public_pem(signer.public_key))
    verify = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "public.pem", "-sigfile", "signature"]
    hashing = ["-digest", "sha256"] if algorithm is Algorithm.P256 else []
    assert "Verified Successfully" in openssl(*verify, *hashing, "-in", "message")
    (tmp_path / "message").write_bytes(b"what was signed")
    with pytest.raises(subprocess.CalledProcessError):
        openssl(*verify, *hashing, "-in", "message")


def test_a_real_firmware_file_goes_through_to_a_sealed_image() -> None:
    """The micro:bit's MicroPython, which also writes 28 bytes of UICR."""
    data = MICROPYTHON.read_bytes()
    with pytest.raises(FormatError, match=r"0x100010c0-0x100010dc.*uicr"):
        parse_firmware(data)
    firmware = parse_firmware(data, drop=[parse_region("uicr")])
    memory = IntelHex(os.fspath(MICROPYTHON))
    assert firmware.payload == memory.tobinstr(start=0, end=0x3B88C - 1)
    assert (firmware.address, firmware.dropped) == (0, {"uicr": 28})
    signer = open_key_file(create_key_file(Algorithm.P256, PASSPHRASE), PASSPHRASE, subject="firmware")
    image = seal(firmware.payload, version="1.0.1", security_counter=1, signer=signer)
    assert mcuboot.verify(image, signer.public_key, least_security_counter=1).payload == firmware.payload
