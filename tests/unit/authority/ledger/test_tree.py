"""The ledger's tree in a folder: growth, proofs, and what is refused. Judged by the Certificate Transparency vectors,
by the whole-tree root over all leaf hashes, and by the proof verifiers."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from imprint.authority.ledger.edge import Edge
from imprint.authority.ledger.tree import Tree
from imprint.errors import FormatError, InputError, KeyStoreError, LedgerError
from imprint.formats.merkle import EMPTY_ROOT, leaf_hash, root_hash, verify_consistency, verify_inclusion
from imprint.formats.note import ed25519_key
from imprint.formats.tiles import MAX_ENTRY_SIZE, tile_paths
from imprint.storage.tile_folder import TileFolder

SECRET = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = ed25519_key("example.com/ledger", SECRET.public_key().public_bytes_raw())
ENTRIES = [b"entry %d" % n for n in range(1200)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(TileFolder(tmp_path), key=KEY, sign=SECRET.sign)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {".lock", "checkpoint"}


def test_the_vectors(tree: Tree) -> None:
    vectors = json.loads((Path(__file__).parents[3] / "vectors/rfc6962.json").read_text())
    for index, (leaf, root) in enumerate(zip(vectors["leaves"], vectors["roots"], strict=True)):
        head = tree.integrate(index, [bytes.fromhex(leaf)])
        assert (head.size, head.root.hex()) == (index + 1, root)
    for case in vectors["inclusion"]:
        assert [one.hex() for one in tree.inclusion_proof(case["index"], case["size"])] == case["proof"]
    for case in vectors["consistency"]:
        assert [one.hex() for one in tree.consistency_proof(case["old"], case["new"])] == case["proof"]


def test_before_the_first_entry(tree: Tree, tmp_path: Path) -> None:
    assert tree.head() is None
    assert tree.root_at(0) == EMPTY_ROOT
    head = tree.integrate(0, [])
    assert (head.size, head.root) == (0, EMPTY_ROOT)
    assert tree.head() == head
    assert files(tmp_path) == set()
    assert tree.integrate(0, ENTRIES[:3]).root == root_hash(LEAVES[:3])


def test_however_it_grew_the_files_are_the_same(tmp_path: Path) -> None:
    steps = [[0, 1200], [0, 1, 2, 255, 256, 257, 511, 513, 1024, 1200], [0, 100, 600, 1100, 1200]]
    found = []
    for number, sizes in enumerate(steps):
        folder = tmp_path / str(number)
        folder.mkdir()
        tree = Tree(TileFolder(folder), key=KEY, sign=SECRET.sign)
        for start, end in pairwise(sizes):
            head = tree.integrate(start, iter(ENTRIES[start:end]))
            assert head.root == root_hash(LEAVES[:end])
            assert tree.head() == head
        assert set(tile_paths(1200)) <= files(folder)
        found.append({path: (folder / path).read_bytes() for path in (*tile_paths(1200), "checkpoint")})
    assert found[0] == found[1] == found[2]


def test_a_tree_with_three_levels() -> None:
    edge = Edge()
    made = dict(edge.grow(b"%d" % n for n in range(70_000)))
    assert sorted(made) == sorted(tile_paths(70_000))
    assert edge.root() == root_hash([leaf_hash(b"%d" % n) for n in range(70_000)])
    assert made["tile/1/000"][:32] == root_hash([leaf_hash(b"%d" % n) for n in range(256)])


def test_partial_tiles_go_once_the_full_tile_is_there(tree: Tree, tmp_path: Path) -> None:
    for start, end in pairwise([0, 10, 20, 300, 310]):
        tree.integrate(start, ENTRIES[start:end])
    assert files(tmp_path) == {
        *("tile/entries/000", "tile/entries/001.p/44", "tile/entries/001.p/54"),
        *("tile/0/000", "tile/0/001.p/44", "tile/0/001.p/54", "tile/1/000.p/1"),
    }


def test_a_reader_with_an_older_head_reads_the_full_tile(tmp_path: Path) -> None:
    tree = Tree(TileFolder(tmp_path), key=KEY, sign=SECRET.sign)
    old = tree.integrate(0, ENTRIES[:200])
    tree.integrate(200, ENTRIES[200:300])
    (tmp_path / "checkpoint").write_bytes(old.note)
    assert not (tmp_path / "tile/0/000.p").exists()
    assert tree.root_at(200) == old.root
    assert list(tree.entries(0, 200)) == ENTRIES[:200]
    assert tree.integrate(200, ENTRIES[200:250]).root == root_hash(LEAVES[:250])


def test_proofs_between_all_kinds_of_sizes(tree: Tree) -> None:
    tree.integrate(0, ENTRIES)
    sizes = [1, 2, 3, 7, 8, 255, 256, 257, 300, 511, 512, 513, 768, 1023, 1024, 1025, 1199, 1200]
    roots = {size: root_hash(LEAVES[:size]) for size in sizes}
    for new in sizes:
        assert tree.root_at(new) == roots[new]
        for old in (size for size in sizes if size <= new):
            proof = tree.consistency_proof(old, new)
            verify_consistency(old=old, old_root=roots[old], new=new, new_root=roots[new], proof=proof)
            path = tree.inclusion_proof(old - 1, new)
            verify_inclusion(leaf=LEAVES[old - 1], index=old - 1, size=new, proof=path, root=roots[new])
    assert [tree.leaf_hash_at(index) for index in (0, 255, 256, 1199)] == [LEAVES[at] for at in (0, 255, 256, 1199)]


@pytest.mark.parametrize(("start", "end"), [(0, 0), (0, 1), (0, 1200), (255, 257), (256, 512), (700, 701), (5, 1200)])
def test_entries_are_read_back(tree: Tree, start: int, end: int) -> None:
    tree.integrate(0, ENTRIES)
    assert list(tree.entries(start, end)) == ENTRIES[start:end]


def test_beyond_the_head(tree: Tree) -> None:
    tree.integrate(0, ENTRIES[:5])
    for question in (
        lambda: tree.inclusion_proof(5, 5),
        lambda: tree.inclusion_proof(0, 6),
        lambda: tree.consistency_proof(1, 6),
        lambda: tree.leaf_hash_at(5),
        lambda: tree.leaf_hash_at(-2),
        lambda: tree.root_at(6),
        lambda: tree.root_at(-1),
        lambda: list(tree.entries(0, 6)),
    ):
        with pytest.raises(InputError):
            question()


def test_the_same_again_changes_nothing(tree: Tree, tmp_path: Path) -> None:
    tree.integrate(0, ENTRIES[:300])
    head = tree.integrate(300, ENTRIES[300:600])
    before = {path: (tmp_path / path).stat().st_mtime_ns for path in (*files(tmp_path), "checkpoint")}
    assert tree.integrate(0, ENTRIES[:600]) == head
    assert tree.integrate(300, ENTRIES[300:600]) == head
    assert tree.integrate(100, ENTRIES[100:200]) == head
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in before} == before
    assert tree.integrate(290, ENTRIES[290:700]).root == root_hash(LEAVES[:700])


@pytest.mark.parametrize("place", [0, 255, 256, 299])
def test_another_entry_for_a_place_that_is_taken(tree: Tree, place: int) -> None:
    head = tree.integrate(0, ENTRIES[:300])
    with pytest.raises(LedgerError, match="differs"):
        tree.integrate(0, [*ENTRIES[:place], b"another", *ENTRIES[place + 1 : 400]])
    with pytest.raises(LedgerError, match="differs"):
        tree.integrate(place, [b"another"])
    assert tree.head() == head
    assert list(tree.entries(0, 300)) == ENTRIES[:300]


@pytest.mark.parametrize("first", [301, -1])
def test_no_gaps(tree: Tree, first: int) -> None:
    tree.integrate(0, ENTRIES[:300])
    with pytest.raises(LedgerError, match="300 entries"):
        tree.integrate(first, [b"far"])


def test_an_entry_that_is_too_long_stops_before_the_checkpoint(tree: Tree) -> None:
    head = tree.integrate(0, ENTRIES[:10])
    with pytest.raises(FormatError):
        tree.integrate(10, [*ENTRIES[10:400], bytes(MAX_ENTRY_SIZE + 1)])
    assert tree.head() == head
    assert tree.integrate(10, [b"other"] * 300).size == 310


def test_an_error_of_the_source_stops_before_the_checkpoint(tree: Tree) -> None:
    def broken() -> Iterator[bytes]:
        yield from ENTRIES[10:300]
        raise KeyError("source")

    head = tree.integrate(0, ENTRIES[:10])
    with pytest.raises(KeyError):
        tree.integrate(10, broken())
    assert tree.head() == head
    assert tree.integrate(10, ENTRIES[10:20]).root == root_hash(LEAVES[:20])


def test_reading_only(tree: Tree, tmp_path: Path) -> None:
    head = tree.integrate(0, ENTRIES[:300])
    (tmp_path / ".lock").unlink()
    reader = Tree(TileFolder(tmp_path), key=KEY)
    assert reader.head() == head
    assert list(reader.entries(0, 300)) == ENTRIES[:300]
    with pytest.raises(KeyStoreError, match="reading only"):
        reader.integrate(300, ENTRIES[300:301])
    assert not (tmp_path / ".lock").exists()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "name", ["checkpoint", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"], ids=lambda name: name[:9]
)
def test_nothing_is_appended_to_what_was_changed(tree: Tree, tmp_path: Path, name: str) -> None:
    tree.integrate(0, ENTRIES[:300])
    flip(tmp_path / name)
    with pytest.raises((LedgerError, FormatError)):
        tree.integrate(300, ENTRIES[300:310])


@pytest.mark.parametrize("name", ["tile/0/000", "tile/entries/000"])
def test_changed_entries_and_leaves_are_noticed_by_readers(tree: Tree, tmp_path: Path, name: str) -> None:
    tree.integrate(0, ENTRIES[:300])
    flip(tmp_path / name)
    with pytest.raises((LedgerError, FormatError)):
        list(tree.entries(0, 300))


def test_a_missing_tile_is_named(tree: Tree, tmp_path: Path) -> None:
    tree.integrate(0, ENTRIES[:300])
    (tmp_path / "tile/0/001.p/44").unlink()
    with pytest.raises(LedgerError, match=r"tile/0/001\.p/44: a tile is missing"):
        tree.root_at(300)


def test_the_head_of_another_ledger_is_refused(tree: Tree, tmp_path: Path) -> None:
    tree.integrate(0, ENTRIES[:3])
    for other in (
        ed25519_key("example.com/other", KEY.public),
        ed25519_key(KEY.name, Ed25519PrivateKey.generate().public_key().public_bytes_raw()),
    ):
        with pytest.raises(LedgerError):
            Tree(TileFolder(tmp_path), key=other).head()


def test_a_signer_with_another_key_publishes_nothing(tmp_path: Path) -> None:
    wrong = Tree(TileFolder(tmp_path), key=KEY, sign=Ed25519PrivateKey.generate().sign)
    with pytest.raises(LedgerError, match="does not verify"):
        wrong.integrate(0, ENTRIES[:3])
    assert wrong.head() is None
