"""The order in which files and their names become durable, as strace sees it."""

import multiprocessing
import multiprocessing.process
import re
import subprocess
import sys
import threading
from pathlib import Path

from imprint.storage.tile_folder import TileFolder

WRITE_ONE = """
import pathlib, sys
from imprint.storage.files import write_file
write_file(pathlib.Path(sys.argv[1]) / "target", b"x")
"""

INTEGRATE = """
import pathlib, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from imprint.authority.ledger.tree import Tree
from imprint.formats.note import ed25519_key
from imprint.storage.tile_folder import TileFolder
secret = Ed25519PrivateKey.generate()
key = ed25519_key("example.com/ledger", secret.public_key().public_bytes_raw())
Tree(TileFolder(pathlib.Path(sys.argv[1]) / "ledger"), key=key, sign=secret.sign).integrate(0, [b"entry"] * 300)
"""


def trace(folder: Path, script: str) -> list[tuple[str, str]]:
    """Calls with the path that they were about (of a rename, the new one), in order."""
    output = folder.with_suffix(".trace")
    calls = ["strace", "-f", "-y", "-e", "trace=write,fsync,rename,mkdir", "-o", str(output)]
    subprocess.run([*calls, sys.executable, "-c", script, str(folder)], check=True)
    seen = []
    for line in output.read_text().splitlines():
        paths = re.findall(f'{re.escape(str(folder))}[^">]*', line)
        if paths and " = -1 " not in line:
            call = line.split(maxsplit=1)[1].split("(")[0]
            seen.append((call, paths[-1]))
    return seen


def test_a_file_is_synced_before_its_name_and_its_name_before_the_end(tmp_path: Path) -> None:
    seen = trace(tmp_path, WRITE_ONE)
    assert [call for call, _ in seen] == ["write", "fsync", "rename", "fsync"]
    assert seen[0][1] == seen[1][1] != str(tmp_path / "target")
    assert [path for _, path in seen[2:]] == [str(tmp_path / "target"), str(tmp_path)]


def test_all_names_are_durable_before_the_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    seen = trace(tmp_path, INTEGRATE)
    checkpoint = seen.index(("rename", str(tmp_path / "ledger/checkpoint")))
    made = [(at, path) for at, (call, path) in enumerate(seen) if call in {"rename", "mkdir"}]
    assert len(made) == 7 + 5 + 1  # folders, tiles and bundles, checkpoint
    for at, path in made:
        before = seen[at:checkpoint] if at < checkpoint else seen[at:]
        assert ("fsync", str(Path(path).parent)) in before, path


def add(folder: Path, times: int) -> None:
    store = TileFolder(folder)
    for _ in range(times):
        with store.lock():
            count = int(store.read("count") or b"0")
            store.write([("count", b"%d" % (count + 1))])


def test_one_writer_at_a_time_among_processes_and_threads(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    workers: list[multiprocessing.process.BaseProcess | threading.Thread] = [
        *(fork.Process(target=add, args=(tmp_path, 50)) for _ in range(2)),
        *(threading.Thread(target=add, args=(tmp_path, 50)) for _ in range(2)),
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert TileFolder(tmp_path).read("count") == b"200"
