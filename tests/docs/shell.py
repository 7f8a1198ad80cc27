"""One bash for one page, as its reader would have it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from page import Step, plain

PATIENCE_S: Final = 120
HOME: Final = "/home/you"  # what pages call the folder in which they start
_POLL_S: Final = 0.05


class Shell:
    """Runs a page's commands in a folder, which is also the home folder. Use it as a context."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder = folder
        self._scratch = scratch
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._bash = subprocess.Popen(
            ["bash"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Unbuffered, for results and notes in the order in which a terminal shows them.
            env={"PATH": programs, "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )

    def __enter__(self) -> "Shell":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what runs in the background too."""
        self._bash.communicate()
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                os.killpg(self._bash.pid, signal.SIGTERM)
            except ProcessLookupError:
                return
            time.sleep(_POLL_S)
        os.killpg(self._bash.pid, signal.SIGKILL)

    def run(self, step: Step) -> None:
        """Run a command, and compare what it says with what the page says."""
        script, output = self._scratch / "step.sh", self._scratch / "output"
        script.write_text(f"{step.command}\n")
        output.unlink(missing_ok=True)  # not emptied: a program in the background may still hold the last one
        code = self._ask(f"{{ . '{script}'\n}} </dev/null >'{output}' 2>&1; echo $?")
        wanted = step.pattern()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            said = plain(output.read_text(errors="replace").replace(str(self._folder), HOME))
            fits = not step.output or wanted.fullmatch(said) is not None
            if fits or not step.is_background or time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
        assert code == step.exit_code, f"$ {step.command}\n{said}exit code {code}, not {step.exit_code}"
        shown = "\n".join(step.output)
        assert fits, f"$ {step.command}\nprinted:\n{said}\nand the page shows:\n{shown}"

    def _ask(self, line: str) -> int:
        if self._bash.stdin is None or self._bash.stdout is None:
            raise AssertionError("bash was started with pipes")
        self._bash.stdin.write(f"{line}\n")
        self._bash.stdin.flush()
        return int(self._bash.stdout.readline())
