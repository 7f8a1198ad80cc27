"""Flash that behaves as the parts do: blocks, words, and a supply that fails between any two of them."""

from pathlib import Path

import pytest

from imprint.virtual.flash import BLOCK, WORD, Flash, PowerLost, Supply, open_cells


def new_flash(lasts: int | None = None, blocks: int = 2) -> tuple[Flash, Supply]:
    supply = Supply(lasts)
    return Flash(bytearray(b"\xff" * BLOCK * blocks), supply), supply


def test_a_word_is_written_once_between_two_erasures() -> None:
    flash, _ = new_flash()
    flash.write(8, b"12345678")
    assert flash.read(0, 24) == b"\xff" * 8 + b"12345678" + b"\xff" * 8
    with pytest.raises(ValueError, match="not erased"):
        flash.write(8, b"12345678")
    flash.erase(0, BLOCK)
    flash.write(8, b"ABCDEFGH")
    assert flash.read(8, 8) == b"ABCDEFGH"


@pytest.mark.parametrize(("offset", "size"), [(1, 8), (0, 7), (4, 8), (2 * BLOCK - 8, 16), (-8, 8)])
def test_writes_are_aligned_and_inside(offset: int, size: int) -> None:
    flash, _ = new_flash()
    with pytest.raises(ValueError, match=r"aligned|outside"):
        flash.write(offset, b"x" * size)


@pytest.mark.parametrize(("offset", "size"), [(8, BLOCK), (0, 8), (BLOCK, 2 * BLOCK)])
def test_erasures_are_of_whole_blocks_inside(offset: int, size: int) -> None:
    flash, _ = new_flash()
    with pytest.raises(ValueError, match=r"aligned|outside"):
        flash.erase(offset, size)


def test_a_failing_supply_leaves_exactly_the_words_before_it() -> None:
    data = bytes(range(1, 41))
    for lasts in range(5):
        flash, supply = new_flash(lasts)
        with pytest.raises(PowerLost):
            flash.write(0, data)
        assert flash.read(0, 40) == data[: lasts * WORD] + b"\xff" * (40 - lasts * WORD)
        assert supply.lasts == 0
    flash, _ = new_flash(5)
    flash.write(0, data)
    assert flash.read(0, 40) == data


def test_a_failing_supply_leaves_half_a_block() -> None:
    flash, supply = new_flash()
    flash.write(0, b"\0" * 2 * BLOCK)
    supply.lasts = 3
    with pytest.raises(PowerLost):
        flash.erase(0, 2 * BLOCK)
    assert flash.is_erased(0, BLOCK + BLOCK // 2)
    assert flash.read(BLOCK + BLOCK // 2, BLOCK // 2) == b"\0" * (BLOCK // 2)


def test_cells_are_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    Flash(open_cells(path, BLOCK), Supply()).write(16, b"persists")
    assert Flash(open_cells(path, BLOCK), Supply()).read(16, 8) == b"persists"
    assert path.read_bytes()[16:24] == b"persists"
