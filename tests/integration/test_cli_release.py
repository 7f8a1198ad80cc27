"""``imprint release``: what makers give, judged by imgtool."""

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from intelhex import IntelHex

from command_line import CommandLine

PAYLOAD = bytes(range(256)) * 20
ADD = ("release", "add", "--product", "lamp", "--security-counter", "3")


def hex_file(regions: dict[int, bytes]) -> str:
    memory = IntelHex()
    for address, data in regions.items():
        memory.frombytes(data, offset=address)
    text = StringIO()
    memory.write_hex_file(text)
    return text.getvalue()


def imgtool_accepts(image: Path) -> bool:
    command = [sys.executable, "-m", "imgtool.main", "verify", "-k", "firmware-key.pem", str(image)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_release_verifies_with_imgtool_and_one_flipped_byte_does_not(imprint: CommandLine) -> None:
    Path("firmware.bin").write_bytes(PAYLOAD)
    added = imprint.decide(*ADD, "--version", "1.1.0", "firmware.bin", "--json").result
    assert (added["version"], added["payload_bytes"]) == ("1.1.0+0", len(PAYLOAD))
    imprint("release", "key", "firmware-key.pem")
    imprint("release", "export", "--product", "lamp", "--version", "1.1.0", "signed.bin")
    image = Path("signed.bin").read_bytes()
    assert PAYLOAD in image
    assert imgtool_accepts(Path("signed.bin"))
    Path("flipped.bin").write_bytes(image[:1000] + bytes((image[1000] ^ 1,)) + image[1001:])
    assert not imgtool_accepts(Path("flipped.bin"))
    shown = imprint("release", "show", "--product", "lamp", "--version", "1.1.0", "--json").result
    assert (shown["security_counter"], shown["image_bytes"], shown["lots"]) == (3, len(image), [])


def test_a_release_knows_its_lots(imprint: CommandLine) -> None:
    for role, version in (("production", "1.0.0"), ("diagnostic", "0.9.0+0")):
        found = imprint("release", "show", "--product", "lamp", "--version", version, "--role", role, "--json").result
        assert found["lots"] == ["lot-1"]
    listed = imprint("release", "list", "--json").result["releases"]
    assert [(row["role"], row["version"]) for row in listed] == [("diagnostic", "0.9.0+0"), ("production", "1.0.0+0")]


def test_settings_beside_the_image_are_dropped_by_name_or_refused(imprint: CommandLine) -> None:
    Path("firmware.hex").write_text(hex_file({0: PAYLOAD, 0x100010C0: b"\x01\x02\x03\x04"}))
    refused = imprint(*ADD, "--version", "1.1.0", "firmware.hex", code=3)
    assert "data in 2 ranges of memory" in refused.err
    assert "uicr" in refused.err
    drop = ("--drop-region", "uicr")
    added = imprint.decide(*ADD, "--version", "1.1.0", *drop, "firmware.hex", "--json").result
    assert (added["payload_bytes"], added["dropped_bytes"]) == (len(PAYLOAD), {"uicr": 4})
    by_range = ("--drop-region", "settings=0x10001000-0x10002000")
    imprint.decide(*ADD, "--version", "1.2.0", *by_range, "firmware.hex")


GOOD_HEX = hex_file({0: PAYLOAD})
LINES = GOOD_HEX.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the file is empty"),
        (b"\xff" * 4096, "every byte is blank"),
        (b"\x7fELF" + bytes(100), "this is an ELF file"),
        (b"\x3d\xb8\xf3\x96" + bytes(100), "this is an MCUboot image already"),
        (GOOD_HEX[: len(GOOD_HEX) // 2].encode(), "damaged Intel HEX|has no end-of-file record"),
        ("".join(LINES[:-1]).encode(), "has no end-of-file record"),
        ("".join([*LINES[:2], LINES[1], *LINES[2:]]).encode(), "overlap"),
        (GOOD_HEX.replace("0F", "0E", 1).encode(), "damaged Intel HEX"),
    ],
    ids=["empty", "blank", "elf", "signed", "truncated", "no-end", "overlap", "checksum"],
)
def test_firmware_that_is_none(imprint: CommandLine, data: bytes, what: str) -> None:
    Path("firmware").write_bytes(data)
    # No passphrase was given: the file is read before anybody is asked for one.
    refused = imprint(*ADD, "--version", "1.1.0", "firmware", "--json", code=3).error
    assert any(one in refused["what"] for one in what.split("|")), refused
    assert refused["next_step"]
    assert len(imprint("release", "list", "--json").result["releases"]) == 2


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--version", "1.x"), 3),
        (("--version", "1.0.70000"), 3),
        (("--version", "1.1.0", "--drop-region", "uicr=1-2"), 3),
        (("--version", "1.1.0", "--role", "boot"), 2),
        (("--version", "1.1.0", "--security-counter", "-1"), 2),
    ],
)
def test_wrong_options_are_told_before_a_passphrase_is_asked_for(
    imprint: CommandLine, options: tuple[str, ...], code: int
) -> None:
    Path("firmware.bin").write_bytes(PAYLOAD)
    imprint(*ADD, *options, "firmware.bin", code=code)


def test_what_the_authority_refuses(imprint: CommandLine) -> None:
    Path("firmware.bin").write_bytes(PAYLOAD)
    taken = imprint.decide(*ADD, "--version", "1.0.0", "firmware.bin", "--json", code=4).error
    assert (taken["rule"], taken["next_step"]) == ("name-taken", "Give the new image a new version")
    unknown = ("release", "add", "--product", "stove", "--security-counter", "1", "--version", "1.0.0", "firmware.bin")
    assert imprint.decide(*unknown, "--json", code=4).error["rule"] == "unknown-product"
    export = ("release", "export", "--product", "lamp", "--version", "9.9.9", "out.bin")
    assert imprint(*export, "--json", code=4).error["rule"] == "unknown-release"
    assert not Path("out.bin").exists()


def test_a_file_that_cannot_be_written(imprint: CommandLine) -> None:
    refused = imprint("release", "key", "nowhere/key.pem", code=9)
    assert refused.err == "imprint: nowhere/key.pem: could not be written: No such file or directory\nCheck the path\n"
