"""The store fails at every write in turn, in every way; then whatever is left must be a ledger, and the same entries
once more must give the same tree. A store that writes the checkpoint first is the negative control: it must fail."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from imprint.authority.ledger.tree import CHECKPOINT, Tree
from imprint.errors import FormatError, LedgerError, StorageError
from imprint.formats.checkpoint import SignedCheckpoint
from imprint.formats.merkle import leaf_hash, root_hash
from imprint.formats.note import ed25519_key
from imprint.formats.tiles import tile_paths
from imprint.storage.tile_folder import TileFolder

SECRET = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = ed25519_key("example.com/ledger", SECRET.public_key().public_bytes_raw())
ENTRIES = [b"entry %d" % n for n in range(600)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
OLD, NEW = 250, 520


class BreakingStore:
    """A folder whose write number ``at`` fails: ``before`` it is done, ``after`` (failed, but persisted), or ``lost``:
    persisted, while the others since the last sync are not, as when the power goes."""

    def __init__(self, folder: Path, at: int, how: str) -> None:
        self._root = folder
        self._folder = TileFolder(folder)
        self._countdown = at
        self._how = how

    def read(self, path: str) -> bytes | None:
        return self._folder.read(path)

    def drop(self, folder: str) -> None:
        self._folder.drop(folder)

    @contextmanager
    def lock(self) -> Iterator[None]:
        with self._folder.lock():
            yield

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        unsynced: list[str] = []
        for path, data in files:
            self._countdown -= 1
            if self._countdown or self._how != "before":
                self._folder.write([(path, data)])
            if not self._countdown:
                for gone in unsynced if self._how == "lost" else ():
                    (self._root / gone).unlink()
                raise StorageError("broken on purpose")
            unsynced.append(path)


class HastyStore(BreakingStore):
    """Keeps tiles back until the checkpoint is written: what the tree must never do."""

    def __init__(self, folder: Path, at: int, how: str) -> None:
        super().__init__(folder, at, how)
        self._late: list[tuple[str, bytes]] = []

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        for path, data in files:
            if path != CHECKPOINT:
                self._late.append((path, data))
            else:
                super().write([(path, data), *self._late])


def prepare(folder: Path) -> SignedCheckpoint:
    folder.mkdir(exist_ok=True)
    return Tree(TileFolder(folder), key=KEY, sign=SECRET.sign).integrate(0, ENTRIES[:OLD])


def check(folder: Path) -> int:
    """What is there is a ledger of the first entries; gives its size."""
    tree = Tree(TileFolder(folder), key=KEY)
    head = tree.head()
    assert head is not None
    assert head.root == root_hash(LEAVES[: head.size]) == tree.root_at(head.size)
    assert list(tree.entries(0, head.size)) == ENTRIES[: head.size]
    return head.size


def sweep(tmp_path: Path, store: Callable[[Path, int, str], BreakingStore], how: str) -> Iterator[Path]:
    """A folder for each write at which the store can break, after it broke."""
    for at in count(1):
        folder = tmp_path / str(at)
        prepare(folder)
        try:
            Tree(store(folder, at, how), key=KEY, sign=SECRET.sign).integrate(OLD, ENTRIES[OLD:NEW])
        except StorageError:
            yield folder
        else:
            assert at > 5, "the sweep must reach every write"
            return


@pytest.mark.parametrize("how", ["before", "after", "lost"])
def test_every_write_fails_in_turn(tmp_path: Path, how: str) -> None:
    whole = tmp_path / "whole"
    prepare(whole)
    wanted = Tree(TileFolder(whole), key=KEY, sign=SECRET.sign).integrate(OLD, ENTRIES[OLD:NEW])
    for folder in sweep(tmp_path, BreakingStore, how):
        assert check(folder) in {OLD, NEW}
        again = Tree(TileFolder(folder), key=KEY, sign=SECRET.sign)
        assert again.integrate(OLD, ENTRIES[OLD:NEW]) == wanted
        assert check(folder) == NEW
        for path in (*tile_paths(NEW), CHECKPOINT):
            assert (folder / path).read_bytes() == (whole / path).read_bytes()


@pytest.mark.parametrize("how", ["before", "lost"])
def test_after_a_crash_other_entries_may_follow_the_head(tmp_path: Path, how: str) -> None:
    others = [b"other %d" % n for n in range(300)]
    for folder in sweep(tmp_path, BreakingStore, how):
        if check(folder) == OLD:
            tree = Tree(TileFolder(folder), key=KEY, sign=SECRET.sign)
            head = tree.integrate(OLD, others[:3])
            assert head.root == tree.root_at(OLD + 3) == root_hash([*LEAVES[:OLD], *map(leaf_hash, others[:3])])
            head = tree.integrate(OLD, others)
            assert head.root == tree.root_at(OLD + 300) == root_hash([*LEAVES[:OLD], *map(leaf_hash, others)])
            assert list(tree.entries(0, OLD + 300)) == [*ENTRIES[:OLD], *others]


def test_negative_control_a_checkpoint_before_its_tiles(tmp_path: Path) -> None:
    def check_all() -> None:
        for folder in sweep(tmp_path, HastyStore, "before"):
            check(folder)

    with pytest.raises((LedgerError, FormatError)):
        check_all()


def grow_for_ever(folder: Path) -> None:
    tree = Tree(TileFolder(folder), key=KEY, sign=SECRET.sign)
    while True:
        size = getattr(tree.head(), "size", 0)
        tree.integrate(max(0, size - 3), ENTRIES[max(0, size - 3) : size + 7])


def test_killed_at_any_moment(tmp_path: Path) -> None:
    prepare(tmp_path)
    sizes = [OLD]
    while len(sizes) < 7 or sizes[-1] == OLD:
        worker = multiprocessing.get_context("fork").Process(target=grow_for_ever, args=(tmp_path,))
        worker.start()
        time.sleep(0.01 + len(sizes) * 0.003)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        assert worker.exitcode == -signal.SIGKILL
        sizes.append(check(tmp_path))
    assert sizes == sorted(sizes)


def test_two_processes_that_integrate_the_same_entries(tmp_path: Path) -> None:
    def integrate_all() -> None:
        tree = Tree(TileFolder(tmp_path), key=KEY, sign=SECRET.sign)
        for index in range(0, 300, 5):
            tree.integrate(index, ENTRIES[index : index + 5])

    workers = [multiprocessing.get_context("fork").Process(target=integrate_all) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert check(tmp_path) == 300
