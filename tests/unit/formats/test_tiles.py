"""Tiles, judged by the examples in the text of c2sp.org/tlog-tiles."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import FormatError, InputError
from imprint.formats.tiles import (
    ENTRIES,
    MAX_ENTRY_SIZE,
    encode_bundle,
    partials_path,
    right_edge,
    split_bundle,
    split_tile,
    tile_path,
    tile_paths,
    tile_width,
)


def test_paths_of_the_specification() -> None:
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path(63, 0, 255) == "tile/63/000.p/255"
    assert tile_path(ENTRIES, 1234067, 8) == "tile/entries/x001/x234/067.p/8"
    assert tile_path(0, 1000) == "tile/0/x001/000"
    assert tile_path(0, 999) == "tile/0/999"
    assert tile_path(0, 1234067, 8).startswith(partials_path(0, 1234067) + "/")


def test_the_tree_of_70000_entries() -> None:
    """273 full tiles and one of width 112 at level 0; one full and one of width 17 at level 1; one of width 1 at 2."""
    paths = set(tile_paths(70_000))
    assert len(paths) == 274 + 274 + 2 + 1
    assert {"tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"} <= paths
    assert {"tile/entries/000", "tile/entries/273.p/112"} <= paths
    assert right_edge(70_000) == [(273, 112), (1, 17), (0, 1)]
    assert [tile_width(*at, 70_000) for at in [(0, 272), (0, 273), (0, 274), (2, 0), (3, 0)]] == [256, 112, 0, 1, 0]


def test_the_tree_of_256_entries() -> None:
    """A full tile at level 0 and one of width 1 at level 1."""
    assert list(tile_paths(256)) == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]


def test_the_empty_tree_has_no_tiles() -> None:
    assert list(tile_paths(0)) == []
    assert right_edge(0) == []


def test_bundles() -> None:
    entries = [b"", b"a", b"\xff" * MAX_ENTRY_SIZE]
    data = encode_bundle(entries)
    assert data.startswith(b"\x00\x00\x00\x01a\xff\xff")
    assert split_bundle(data, 3, subject="here") == entries
    assert split_bundle(data, 2, subject="here") == entries[:2]
    assert data == encode_bundle(entries[:1]) + encode_bundle(entries[1:])


def test_an_entry_that_is_too_long() -> None:
    with pytest.raises(FormatError, match="65535"):
        encode_bundle([bytes(MAX_ENTRY_SIZE + 1)])


@pytest.mark.parametrize(("data", "width"), [(b"", 1), (b"\0", 1), (b"\0\1", 1), (b"\0\0\0", 1), (b"\0\0" * 257, 256)])
def test_malformed_bundles(data: bytes, width: int) -> None:
    with pytest.raises(FormatError):
        split_bundle(data, width, subject="here")


@pytest.mark.parametrize(("length", "width"), [(0, 1), (31, 0), (33, 1), (32, 2), (32 * 257, 256)])
def test_malformed_tiles(length: int, width: int) -> None:
    with pytest.raises(FormatError):
        split_tile(bytes(length), width, subject="here")


def test_a_wider_tile_serves_for_a_narrower_one() -> None:
    data = b"".join(bytes([n]) * 32 for n in range(5))
    assert split_tile(data, 2, subject="here") == [b"\0" * 32, b"\1" * 32]


@given(st.binary(max_size=300), st.integers(0, 10))
def test_any_bytes_give_entries_or_an_input_error(data: bytes, width: int) -> None:
    with suppress(InputError):
        found = split_bundle(data, width, subject="here")
        assert data.startswith(encode_bundle(found))
