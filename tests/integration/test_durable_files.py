"""The order in which files become durable, as strace sees it."""

import subprocess
import sys
from pathlib import Path


def test_the_content_is_synced_before_the_name(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from imprint.storage.files import write_file; write_file(pathlib.Path(sys.argv[1]), b'x')"
    )
    target, trace = tmp_path / "target", tmp_path / "trace"
    calls = ["strace", "-f", "-y", "-e", "trace=write,fsync,rename", "-o", str(trace)]
    subprocess.run([*calls, sys.executable, "-c", script, str(target)], check=True)
    seen = [line.split(" ", 1)[1].strip() for line in trace.read_text().splitlines() if str(tmp_path) in line]
    assert [line.split("(")[0] for line in seen] == ["write", "fsync", "rename", "fsync"]
    assert ".target." in seen[1]
    assert f"<{tmp_path}>" in seen[3]
