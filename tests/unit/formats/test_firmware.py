"""Firmware input: what is in the image is kept exactly, what is not is refused or dropped by name."""

from contextlib import suppress
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intelhex import IntelHex

from imprint.errors import FormatError
from imprint.formats.firmware import MOST_GAP, MOST_PAYLOAD, Region, parse_firmware, parse_region

EOF = ":00000001FF\n"
UICR = parse_region("uicr")


def record(address: int, kind: int, data: bytes) -> str:
    body = bytes((len(data), address >> 8, address & 0xFF, kind)) + data
    return f":{body.hex().upper()}{-sum(body) & 0xFF:02X}\n"


def hex_file(regions: dict[int, bytes]) -> bytes:
    memory = IntelHex()
    for start, data in regions.items():
        memory.frombytes(data, offset=start)
    text = StringIO()
    memory.write_hex_file(text)
    return text.getvalue().encode()


def test_a_raw_binary_is_its_own_payload() -> None:
    firmware = parse_firmware(b"\x00\x40\x00\x20code")
    assert (firmware.payload, firmware.address, firmware.dropped) == (b"\x00\x40\x00\x20code", None, {})


@given(
    st.dictionaries(st.integers(0, 2000), st.binary(min_size=1, max_size=64).filter(any), min_size=1, max_size=5),
    st.sampled_from([0, 0x1FFF0, 0x08000000, 0xFFFF0000]),
)
def test_a_hex_file_gives_the_bytes_at_their_addresses(regions: dict[int, bytes], base: int) -> None:
    memory: dict[int, int] = {}
    for start, data in regions.items():
        memory.update({base + start + offset: byte for offset, byte in enumerate(data)})
    first, last = min(memory), max(memory)
    wanted = bytes(memory.get(address, 0xFF) for address in range(first, last + 1))
    written = hex_file({address: bytes((byte,)) for address, byte in memory.items()})
    if not wanted.strip(b"\xff"):
        with pytest.raises(FormatError, match="blank"):
            parse_firmware(written)
        return
    firmware = parse_firmware(written)
    assert (firmware.payload, firmware.address) == (wanted, first)


def test_data_outside_the_image_is_refused_with_the_way_out() -> None:
    data = hex_file({0: b"code" * 100, 0x100010C0: b"\x00\xe0\x03\x00"})
    with pytest.raises(FormatError) as caught:
        parse_firmware(data)
    assert "0x0-0x190, 0x100010c0-0x100010c4" in str(caught.value)
    assert str(caught.value).endswith("for example: --drop-region uicr")
    firmware = parse_firmware(data, drop=[UICR])
    assert (firmware.payload, firmware.address, firmware.dropped) == (b"code" * 100, 0, {"uicr": 4})


def test_a_region_is_dropped_to_the_byte() -> None:
    data = hex_file({0x1000: bytes(range(1, 65))})
    firmware = parse_firmware(data, drop=[parse_region("head=0x0-0x1004"), parse_region("tail=0x1030-0x2000")])
    assert (firmware.payload, firmware.address) == (bytes(range(5, 49)), 0x1004)
    assert firmware.dropped == {"head": 4, "tail": 16}
    middle = parse_firmware(data, drop=[parse_region("middle=0x1004-0x1008")])
    assert middle.payload == bytes((*range(1, 5), *b"\xff" * 4, *range(9, 65)))


def test_a_region_that_holds_nothing_is_no_error() -> None:
    assert parse_firmware(hex_file({0: b"code"}), drop=[UICR]).dropped == {}


def test_dropping_everything_is_an_error() -> None:
    with pytest.raises(FormatError, match="no data is left"):
        parse_firmware(hex_file({UICR.start: b"settings"}), drop=[UICR])


def test_holes_are_filled_up_to_a_limit() -> None:
    firmware = parse_firmware(hex_file({0: b"a", 1 + MOST_GAP: b"b"}))
    assert firmware.payload == b"a" + b"\xff" * MOST_GAP + b"b"
    with pytest.raises(FormatError, match=r"unwanted=0x0-0x1"):
        parse_firmware(hex_file({0: b"a", 2 + MOST_GAP: b"bb"}))


def test_a_far_record_costs_no_memory() -> None:
    with pytest.raises(FormatError, match="2 ranges"):
        parse_firmware(hex_file({0: b"a", 0xFFFFFFF0: b"b"}))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"\r\n \n", "empty"),
        (b"\xff" * 4096, "blank"),
        (b"\x00" * 4096, "blank"),
        (b"\x7fELF\x01\x01\x01", "ELF"),
        (b"S00600004844521B\n", "S-records"),
        (b"UF2\nWQ]\x9e", "UF2"),
        (b"\x3d\xb8\xf3\x96" + bytes(28), "MCUboot image already"),
        (b"\x01" * (MOST_PAYLOAD + 1), "more than"),
        (record(0, 0, b"code").encode(), "no end-of-file record"),
        ((record(0, 0, b"code") + EOF)[:-14].encode(), "no end-of-file record"),
        ((record(0, 0, b"code") + EOF)[:-3].encode(), "damaged"),
        ((EOF + record(0, 0, b"code")).encode(), "goes on after"),
        ((record(0, 0, b"code") + EOF + EOF).encode(), "goes on after"),
        (EOF.encode(), "no data is left"),
        ((record(0, 0, b"code") + record(2, 0, b"over") + EOF).encode(), "overlap"),
        ((record(0, 0, b"code") + record(0, 0, b"code") + EOF).encode(), "overlap"),
        ((record(0, 0, b"code").replace("63", "64", 1) + EOF).encode(), "checksum"),
        ((record(0, 0, b"code").replace(":04", ":05", 1) + EOF).encode(), "length"),
        ((record(0, 9, b"code") + EOF).encode(), "type"),
        ((record(0, 4, b"\xff\xff") + record(0xFFFE, 0, b"code") + EOF).encode(), "last address"),
        (("\ufeff" + record(0, 0, b"code") + EOF).encode(), "not ASCII"),
        ((record(0, 0, b"code") + "junk\n" + EOF).encode(), "damaged"),
    ],
)
def test_bad_files_say_what_is_wrong_with_them(data: bytes, what: str) -> None:
    with pytest.raises(FormatError, match=rf"(?i){what}"):
        parse_firmware(data)


@given(st.binary(max_size=60), st.text(":0123456789ABCDEF\n", max_size=80))
def test_any_bytes_are_a_value_or_a_typed_error(data: bytes, text: str) -> None:
    for candidate in (data, b":" + data, f":{text}\n{EOF}".encode()):
        with suppress(FormatError):
            parse_firmware(candidate, drop=[UICR])


@given(st.integers(0, 200), st.integers(0, 255))
def test_any_changed_byte_of_a_hex_file_is_noticed_or_harmless(position: int, byte: int) -> None:
    good = hex_file({0: bytes(range(1, 65))})
    changed = bytearray(good)
    changed[position % len(good)] = byte
    with suppress(FormatError):
        assert parse_firmware(bytes(changed)).payload == bytes(range(1, 65))


def test_regions_are_written_as_they_are_read() -> None:
    assert Region(name="uicr", start=0x10001000, end=0x10002000) == UICR
    assert parse_region(str(UICR)) == UICR
    assert parse_region("top=0x0-0x100000000").end == 2**32


@pytest.mark.parametrize(
    "text",
    ["", "flash", "a=0x10-0x10", "a=0x20-0x10", "a=16-32", "=0x0-0x1", "a=0x0-0x100000001", "A=0x0-0x1", "a=0x0-0x1\n"],
)
def test_what_is_no_region_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="region"):
        parse_region(text)
