"""Every proof verifies; any flipped bit, and any other place, fails."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imprint.authority.ledger.edge import Edge
from imprint.errors import LedgerError
from imprint.formats.merkle import (
    EMPTY_ROOT,
    Frontier,
    ReadHash,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    range_root,
    root_hash,
    verify_consistency,
    verify_inclusion,
)
from imprint.formats.tiles import hash_reader, split_tile, tile_path, tile_width

MOST = 70_000
LEAVES = [leaf_hash(b"%d" % n) for n in range(MOST)]
FILES = dict(Edge().grow(b"%d" % n for n in range(MOST)))

sizes = st.one_of(st.integers(1, 600), st.integers(1, MOST), st.sampled_from([255, 256, 257, 65_535, 65_536, 65_537]))


def read_tile(level: int, index: int, width: int) -> list[bytes]:
    path = tile_path(level, index, tile_width(level, index, MOST))
    return split_tile(FILES[path], width, subject=path)


READ: ReadHash = hash_reader(read_tile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    old: int
    new: int


pairs = st.builds(lambda one, two: Pair(old=min(one, two), new=max(one, two)), sizes, sizes)


def flip(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data) ^ 1 << bit % (len(data) * 8)).to_bytes(len(data))


@settings(deadline=None)  # a busy machine is no counterexample
@given(sizes)
def test_tiles_frontier_and_the_whole_row_agree(size: int) -> None:
    assert range_root(0, size, READ) == root_hash(LEAVES[:size])
    half = Frontier().extend(LEAVES[: size // 2])
    assert half.extend(LEAVES[size // 2 : size]).root() == root_hash(LEAVES[:size])


@settings(deadline=None)
@given(pairs, st.integers(0, 2**16))
def test_inclusion(pair: Pair, bit: int) -> None:
    index, size, root = pair.old - 1, pair.new, range_root(0, pair.new, READ)
    proof = inclusion_proof(index, size, READ)
    verify_inclusion(leaf=LEAVES[index], index=index, size=size, proof=proof, root=root)
    with pytest.raises(LedgerError):
        verify_inclusion(leaf=flip(LEAVES[index], bit), index=index, size=size, proof=proof, root=root)
    with pytest.raises(LedgerError):
        verify_inclusion(leaf=LEAVES[index], index=index, size=size, proof=proof, root=flip(root, bit))
    for at in range(len(proof)):
        forged = (*proof[:at], flip(proof[at], bit), *proof[at + 1 :])
        with pytest.raises(LedgerError):
            verify_inclusion(leaf=LEAVES[index], index=index, size=size, proof=forged, root=root)
    other = bit % size
    if other != index:
        with pytest.raises(LedgerError):
            verify_inclusion(leaf=LEAVES[index], index=other, size=size, proof=proof, root=root)


@settings(deadline=None)
@given(pairs, st.integers(0, 2**16))
def test_consistency(pair: Pair, bit: int) -> None:
    old_root, new_root = range_root(0, pair.old, READ), range_root(0, pair.new, READ)
    proof = consistency_proof(pair.old, pair.new, READ)

    def verify(first: bytes, second: bytes, path: tuple[bytes, ...]) -> None:
        verify_consistency(old=pair.old, old_root=first, new=pair.new, new_root=second, proof=path)

    verify(old_root, new_root, proof)
    forged = [
        (flip(old_root, bit), new_root, proof),
        (old_root, flip(new_root, bit), proof),
        (old_root, new_root, (*proof, new_root)),
        *((old_root, new_root, (*proof[:at], flip(proof[at], bit), *proof[at + 1 :])) for at in range(len(proof))),
        *((old_root, new_root, proof[:at]) for at in range(len(proof))),
    ]
    for case in forged:
        with pytest.raises(LedgerError):
            verify(*case)


@given(sizes)
def test_every_tree_begins_with_the_empty_one(size: int) -> None:
    assert consistency_proof(0, size, READ) == ()
    verify_consistency(old=0, old_root=EMPTY_ROOT, new=size, new_root=range_root(0, size, READ), proof=())


hashes = st.binary(min_size=32, max_size=32)


@given(st.integers(-1, 2**64), st.integers(-1, 2**64), st.lists(hashes | st.binary(max_size=40), max_size=70), hashes)
def test_no_proof_of_chance_verifies(one: int, two: int, proof: list[bytes], root: bytes) -> None:
    with pytest.raises(LedgerError):
        verify_inclusion(leaf=LEAVES[0], index=one, size=two, proof=proof, root=root)
    with pytest.raises(LedgerError):
        verify_consistency(old=one, old_root=LEAVES[0], new=two, new_root=root, proof=proof)
