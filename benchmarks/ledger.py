"""Ledger entries integrated a second, tiles and checkpoint durable, beside bare leaf hashing in the same run.

Run: ``python -m benchmarks.ledger``.
"""

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Final

from imprint.authority.ledger.tree import Tree
from imprint.formats.note import ed25519_key
from imprint.keys.file import FileSigner
from imprint.storage.tile_folder import TileFolder
from imprint.testing.soft_unit import new_key

ENTRIES: Final = 200_000
BATCHES: Final = (1, 100, ENTRIES)
ENTRY_SIZE: Final = 220  # as ours are
WANTED: Final = 50_000


def integrate(folder: Path, entries: list[bytes], batch: int) -> float:
    """Entries a second, ``batch`` at a time, a checkpoint after each; at most 200 batches."""
    signer = FileSigner(new_key("ed25519"))
    tree = Tree(TileFolder(folder), key=ed25519_key("bench", signer.public_key[-32:]), sign=signer.sign)
    chosen = entries[: batch * 200]
    start = time.perf_counter()
    for first in range(0, len(chosen), batch):
        tree.integrate(first, chosen[first : first + batch])
    return len(chosen) / (time.perf_counter() - start)


def hashing(entries: list[bytes]) -> float:
    """Leaf hashes a second, and nothing else."""
    start = time.perf_counter()
    for entry in entries:
        hashlib.sha256(b"\x00" + entry).digest()
    return len(entries) / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    entries = [os.urandom(ENTRY_SIZE) for _ in range(ENTRIES)]
    limit = max(hashing(entries) for _ in range(3))
    print(f"bare leaf hashing: {limit:,.0f} entries/s")
    with tempfile.TemporaryDirectory() as name:
        for batch in BATCHES:
            rate = max(integrate(Path(name) / f"{batch}-{number}", entries, batch) for number in range(3))
            print(f"integrated {batch:>7,} at a time: {rate:>9,.0f} entries/s, {rate / limit:.1%} of bare hashing")
    print(f"wanted: {WANTED:,} entries/s")


if __name__ == "__main__":
    main()
