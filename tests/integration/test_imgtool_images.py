"""imgtool, MCUboot's own signing tool, judges our images, and we judge its."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from imprint.encoding import sha256
from imprint.errors import InputError
from imprint.formats import mcuboot

PAYLOAD = bytes(range(256)) * 40 + b"tail"


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def files(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    """A folder with the key as imgtool wants it (PEM, no password: it is a test's) and a payload."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(private)
    (tmp_path / "public.pem").write_bytes(public)
    (tmp_path / "payload.bin").write_bytes(PAYLOAD)
    return tmp_path


def imgtool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from imgtool.main import imgtool; imgtool()", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("header_size", [32, 0x200])
def test_imgtool_verifies_what_we_build(
    files: Path, key: ec.EllipticCurvePrivateKey, spki: bytes, header_size: int
) -> None:
    image = mcuboot.build(
        PAYLOAD,
        version=mcuboot.parse_version("3.1.4+15"),
        security_counter=9,
        key_spki=spki,
        sign=lambda message: key.sign(message, ec.ECDSA(hashes.SHA256())),
        header_size=header_size,
    )
    (files / "ours.bin").write_bytes(image)
    judged = imgtool(files, "verify", "--key", "public.pem", "ours.bin")
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert "Image version: 3.1.4+15" in judged.stdout
    assert f"Image digest: {mcuboot.parse(image).image_hash.hex()}" in judged.stdout

    for position in (header_size + 5, len(image) - 3):
        flipped = bytearray(image)
        flipped[position] ^= 1
        (files / "flipped.bin").write_bytes(flipped)
        assert imgtool(files, "verify", "--key", "public.pem", "flipped.bin").returncode != 0


def test_imgtool_reads_our_tlvs(files: Path, key: ec.EllipticCurvePrivateKey, spki: bytes) -> None:
    image = mcuboot.build(
        PAYLOAD,
        version=mcuboot.parse_version("1.0.0"),
        security_counter=0x01020304,
        key_spki=spki,
        sign=lambda message: key.sign(message, ec.ECDSA(hashes.SHA256())),
    )
    (files / "ours.bin").write_bytes(image)
    dumped = imgtool(files, "dumpinfo", "ours.bin")
    assert dumped.returncode == 0, dumped.stderr
    for word in ("SEC_CNT", "SHA256", "KEYHASH", "ECDSASIG", sha256(spki).hex()[:16]):
        assert word.lower() in dumped.stdout.lower().replace("0x", "").replace(" ", ""), word


@pytest.mark.parametrize("options", [[], ["--pad", "--overwrite-only"], ["--custom-tlv", "0x00a0", "0xdeadbeef"]])
def test_we_verify_what_imgtool_signs(files: Path, spki: bytes, options: list[str]) -> None:
    signed = imgtool(
        files,
        *("sign", "--key", "key.pem", "--align", "8", "--header-size", "0x200", "--pad-header"),
        *("--slot-size", "0x80000", "--version", "1.2.3+4", "--security-counter", "5", *options),
        *("payload.bin", "theirs.bin"),
    )
    assert signed.returncode == 0, signed.stderr
    data = (files / "theirs.bin").read_bytes()
    image = mcuboot.verify(data, spki, least_security_counter=5)
    assert image.payload == PAYLOAD
    assert str(image.version) == "1.2.3+4"
    assert image.security_counter == 5
    with pytest.raises(InputError):
        mcuboot.verify(data, spki, least_security_counter=6)


def test_we_refuse_what_a_boot_loader_with_key_hashes_refuses(files: Path, spki: bytes) -> None:
    """imgtool can write images that its own ``verify`` passes and such a boot loader does not start."""
    common = ("sign", "--key", "key.pem", "--header-size", "0x200", "--pad-header", "--slot-size", "0x80000")
    for name, options in {
        "no counter": ["--version", "1.0.0"],
        "whole key in place of its hash": [
            *("--version", "1.0.0", "--security-counter", "1"),
            *("--public-key-format", "full"),
        ],
        "not bootable": ["--version", "1.0.0", "--security-counter", "1", "--non-bootable"],
    }.items():
        made = imgtool(files, *common, *options, "payload.bin", "theirs.bin")
        assert made.returncode == 0, (name, made.stderr)
        assert imgtool(files, "verify", "--key", "public.pem", "theirs.bin").returncode == 0, name
        with pytest.raises(InputError):
            mcuboot.verify((files / "theirs.bin").read_bytes(), spki, least_security_counter=0)
