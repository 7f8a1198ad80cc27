"""Merkle trees, judged by the Certificate Transparency vectors and by the recursive definitions of RFC 6962."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from imprint.errors import InputError, LedgerError
from imprint.formats.merkle import (
    EMPTY_ROOT,
    Frontier,
    ReadHash,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_hash,
    verify_consistency,
    verify_inclusion,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/rfc6962.json").read_text())
LEAVES = [leaf_hash(bytes.fromhex(one)) for one in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(one) for one in (VECTORS["empty_root"], *VECTORS["roots"])]


def reader(leaves: list[bytes]) -> ReadHash:
    def read(height: int, n: int) -> bytes:
        part = leaves[n << height : (n + 1) << height]
        assert len(part) == 1 << height, "only complete subtrees may be asked for"
        return root_hash(part)

    return read


def unhex(proof: list[str]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(one) for one in proof)


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256().digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_roots(size: int) -> None:
    assert root_hash(LEAVES[:size]) == ROOTS[size]
    assert Frontier().extend(LEAVES[:size]).root() == ROOTS[size]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 6, 7, 31, 33, 100, 129])
def test_roots_by_definition(size: int) -> None:
    leaves = [leaf_hash(b"%d" % n) for n in range(size)]
    assert root_hash(leaves) == mth(leaves)
    middle = Frontier().extend(leaves[: size // 3])
    assert middle.extend(leaves[size // 3 :]).root() == mth(leaves)
    assert middle.extend(leaves[size // 3 :]).size == size


@pytest.mark.parametrize("case", VECTORS["inclusion"])
def test_inclusion_vectors(case: dict[str, int | list[str]]) -> None:
    index, size, proof = case["index"], case["size"], case["proof"]
    assert isinstance(index, int)
    assert isinstance(size, int)
    assert isinstance(proof, list)
    assert inclusion_proof(index, size, reader(LEAVES)) == unhex(proof)
    verify_inclusion(leaf=LEAVES[index], index=index, size=size, proof=unhex(proof), root=ROOTS[size])


@pytest.mark.parametrize("case", VECTORS["consistency"])
def test_consistency_vectors(case: dict[str, int | list[str]]) -> None:
    old, new, proof = case["old"], case["new"], case["proof"]
    assert isinstance(old, int)
    assert isinstance(new, int)
    assert isinstance(proof, list)
    assert consistency_proof(old, new, reader(LEAVES)) == unhex(proof)
    verify_consistency(old=old, old_root=ROOTS[old], new=new, new_root=ROOTS[new], proof=unhex(proof))


SOME_HASH = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")


@pytest.mark.parametrize("case", [one for one in VECTORS["inclusion"] if one["proof"]])
def test_corrupted_inclusion_proofs(case: dict[str, int | list[str]]) -> None:
    index, size, hexes = case["index"], case["size"], case["proof"]
    assert isinstance(index, int)
    assert isinstance(size, int)
    assert isinstance(hexes, list)
    proof, root, leaf = unhex(hexes), ROOTS[size], LEAVES[index]
    corrupted: list[tuple[int, int, bytes, tuple[bytes, ...], bytes]] = [
        (index - 1, size, leaf, proof, root),
        (index + 1, size, leaf, proof, root),
        (index ^ 2, size, leaf, proof, root),
        (index, size * 2, leaf, proof, root),
        (index, size // 2, leaf, proof, root),
        (index, size, b"WrongLeaf", proof, root),
        (index, size, leaf, proof, EMPTY_ROOT),
        (index, size, leaf, proof, SOME_HASH),
        (index, size, leaf, (*proof, b""), root),
        (index, size, leaf, (*proof, root), root),
        (index, size, leaf, (b"", *proof), root),
        (index, size, leaf, (root, *proof), root),
        (index, size, leaf, proof[:-1], root),
        (index, size, leaf, (proof[0], SOME_HASH, *proof[1:]), root),
        (index, size, b"", proof, root),
        (index, 0, leaf, proof, root),
    ]
    for where, total, entry, path, top in corrupted:
        with pytest.raises(LedgerError):
            verify_inclusion(leaf=entry, index=where, size=total, proof=path, root=top)


@pytest.mark.parametrize("case", [one for one in VECTORS["consistency"] if one["proof"]])
def test_corrupted_consistency_proofs(case: dict[str, int | list[str]]) -> None:
    old, new, hexes = case["old"], case["new"], case["proof"]
    assert isinstance(old, int)
    assert isinstance(new, int)
    assert isinstance(hexes, list)
    proof, root1, root2 = unhex(hexes), ROOTS[old], ROOTS[new]
    corrupted: list[tuple[int, int, bytes, bytes, tuple[bytes, ...]]] = [
        (old - 1, new, root1, root2, proof),
        (old + 1, new, root1, root2, proof),
        (old ^ 2, new, root1, root2, proof),
        (old, new * 2, root1, root2, proof),
        (old, new // 2, root1, root2, proof),
        (old, new, SOME_HASH, root2, proof),
        (old, new, root1, SOME_HASH, proof),
        (old, new, root2, root1, proof),
        (old, new, root1, root2, ()),
        (old, new, root1, root2, (*proof, root1)),
        (old, new, root1, root2, (*proof, root2)),
        (old, new, root1, root2, (root1, *proof)),
        (old, new, root1, root2, (root2, *proof)),
        (old, new, root1, root2, (proof[0], *proof)),
        (old, new, root1, root2, (*proof, b"")),
        (old, new, root1, root2, proof[:-1]),
    ]
    for size1, size2, first, second, path in corrupted:
        with pytest.raises(LedgerError):
            verify_consistency(old=size1, old_root=first, new=size2, new_root=second, proof=path)


def test_consistency_at_the_ends() -> None:
    verify_consistency(old=0, old_root=EMPTY_ROOT, new=0, new_root=EMPTY_ROOT, proof=())
    verify_consistency(old=0, old_root=EMPTY_ROOT, new=8, new_root=ROOTS[8], proof=())
    verify_consistency(old=8, old_root=ROOTS[8], new=8, new_root=ROOTS[8], proof=())
    wrong = [
        (0, ROOTS[1], 8, ROOTS[8], ()),
        (0, EMPTY_ROOT, 0, ROOTS[1], ()),
        (0, EMPTY_ROOT, 8, ROOTS[8], (ROOTS[8],)),
        (8, ROOTS[8], 8, ROOTS[7], ()),
        (8, ROOTS[8], 8, ROOTS[8], (ROOTS[8],)),
        (8, ROOTS[8], 7, ROOTS[7], ()),
        (-1, EMPTY_ROOT, 7, ROOTS[7], ()),
    ]
    for old, old_root, new, new_root, proof in wrong:
        with pytest.raises(LedgerError):
            verify_consistency(old=old, old_root=old_root, new=new, new_root=new_root, proof=proof)
    assert consistency_proof(0, 8, reader(LEAVES)) == consistency_proof(8, 8, reader(LEAVES)) == ()


@pytest.mark.parametrize(("index", "size"), [(0, 0), (8, 8), (-1, 8)])
def test_no_proof_for_an_entry_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(InputError):
        inclusion_proof(index, size, reader(LEAVES))


@pytest.mark.parametrize(("old", "new"), [(3, 2), (-1, 2)])
def test_no_proof_of_a_ledger_that_shrinks(old: int, new: int) -> None:
    with pytest.raises(InputError):
        consistency_proof(old, new, reader(LEAVES))


def test_a_proof_for_a_larger_tree_is_none_for_a_smaller_one() -> None:
    """The last steps of these proofs lead from a tree of 4 to one of 8; the sizes that are claimed leave no room."""
    path = inclusion_proof(6, 8, reader(LEAVES))
    verify_inclusion(leaf=LEAVES[6], index=6, size=8, proof=path, root=ROOTS[8])
    with pytest.raises(LedgerError):
        verify_inclusion(leaf=LEAVES[6], index=2, size=4, proof=path, root=ROOTS[8])
    proof = consistency_proof(7, 8, reader(LEAVES))
    verify_consistency(old=7, old_root=ROOTS[7], new=8, new_root=ROOTS[8], proof=proof)
    with pytest.raises(LedgerError):
        verify_consistency(old=3, old_root=ROOTS[7], new=4, new_root=ROOTS[8], proof=proof)


def test_bytes_cannot_move_between_two_hashes() -> None:
    sibling, *others = inclusion_proof(0, 8, reader(LEAVES))
    moved = (LEAVES[0][-1:] + sibling, *others)
    with pytest.raises(LedgerError):
        verify_inclusion(leaf=LEAVES[0][:-1], index=0, size=8, proof=moved, root=ROOTS[8])
