"""Mutation tests of the rules that must never be wrong: ``make mutants``. ``docs/mutation-tests.md`` explains them.

Each mutant of a module is put in place of it in a process of its own, which runs the unit tests of the authority until
the first that fails. A mutant that no test notices must stand in that page with a reason; else this ends with 1.
"""

import argparse
import importlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from mutants import Mutant, mutants_of

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "mutation-tests.md"
TESTS: Final = {
    "authority.production.life_cycle": ("production/test_life_cycle.py", "production"),
    "authority.production.claim": ("production/test_claim.py", "production/test_pools.py", "production"),
    "authority.production.held_unit": ("production/test_certify.py", "production"),
    "authority.production.refund": ("production/test_refund.py", "production"),
    "authority.production.rework": ("production/test_rework.py", "production"),
    "authority.production.revocation": ("production/test_revocation.py", "production"),
    "authority.production.owner": ("production/test_owner.py", "production"),
    "authority.decisions.kernel": ("decisions/test_kernel.py", "production"),
}
PATIENCE_S: Final = 25
AT_ONCE: Final = os.cpu_count() or 1
# What all tests import and no mutant is in: imported once, before the processes part.
_COMMON: Final = (
    "alembic.command",
    "alembic.autogenerate",
    "asyncio",
    "cbor2",
    "cryptography.x509",
    "hypothesis.stateful",
)
_COMMON_TOO: Final = ("pydantic", "pytest", "smp.message", "sqlalchemy.dialects.sqlite", "yaml")


class MutantLoader(SourceFileLoader):
    """Loads a module from another source than its file."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._mutated = source

    def get_code(self, fullname: str) -> CodeType:
        """The mutant's code, never that of the cache."""
        return compile(self._mutated, self.path, "exec")


class MutantFinder(MetaPathFinder):
    """Finds one module's mutant, and nothing else."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name = name
        self._path = path
        self._source = source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As :meth:`importlib.abc.MetaPathFinder.find_spec`."""
        if fullname != self._name:
            return None
        loader = MutantLoader(fullname, str(self._path), self._source)
        return spec_from_file_location(fullname, self._path, loader=loader)


@dataclass(slots=True, kw_only=True)
class Trial:
    """One mutant under test."""

    module: str
    mutant: Mutant

    def __str__(self) -> str:
        return f"{self.module.rpartition('.')[2]}.py: {self.mutant.change}"


def path_of(module: str) -> Path:
    """The file of a module of the project."""
    return ROOT / "src" / "imprint" / f"{module.replace('.', '/')}.py"


def run_tests(module: str, source: str, folder: str) -> int:
    """In a process of its own, which dies when they hang: the exit code of the tests with this source in place of the
    module's."""
    import pytest

    sink = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(sink, descriptor)
    sys.meta_path.insert(0, MutantFinder(f"imprint.{module}", path_of(module), source))
    options = ["-x", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", f"--rootdir={ROOT}"]
    for name in TESTS[module]:  # the likeliest first: most mutants are not noticed late
        signal.alarm(PATIENCE_S if name.endswith(".py") else 5 * PATIENCE_S)
        tests = ROOT / "tests" / "unit" / "authority" / name
        code = pytest.main([*options, f"--basetemp={folder}/{os.getpid()}", str(tests)])
        if code:
            return int(code)
    return 0


def start(trial: Trial, folder: str) -> int:
    """Start a trial; its process."""
    process = os.fork()
    if process == 0:
        code = 3
        try:
            code = run_tests(trial.module, trial.mutant.source, folder)
        finally:
            os._exit(code)
    return process


def finished(running: dict[int, Trial]) -> Iterator[tuple[Trial, bool]]:
    """Trials that have come to an end, and whether the mutant was noticed."""
    for process, trial in list(running.items()):
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            del running[process]
            yield trial, status != 0


def survivors(modules: Sequence[str], folder: str) -> Iterator[Trial]:
    """Try every mutant, several at once; those that no test noticed."""
    waiting = [(module, mutant) for module in modules for mutant in mutants_of(path_of(module).read_text())]
    total, done, waiting = len(waiting), 0, waiting[::-1]
    running: dict[int, Trial] = {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            module, mutant = waiting.pop()
            trial = Trial(module=module, mutant=mutant)
            running[start(trial, folder)] = trial
        for trial, noticed in finished(running):
            done += 1
            if not noticed:
                yield trial
            if done % 50 == 0:
                print(f"{done} of {total} mutants", file=sys.stderr, flush=True)
        time.sleep(0.01)
    print(f"{total} mutants")


def main() -> int:
    """0 when each mutant was noticed or stands in the page."""
    parser = argparse.ArgumentParser(description="Mutation tests of the authority's rules")
    parser.add_argument("modules", nargs="*", default=list(TESTS), help="such as authority.production.claim")
    modules = parser.parse_args().modules
    for name in (*_COMMON, *_COMMON_TOO):
        importlib.import_module(name)
    page = PAGE.read_text() if PAGE.exists() else ""
    unexplained = 0
    with tempfile.TemporaryDirectory() as folder:
        for module in modules:
            untouched = Trial(module=module, mutant=Mutant(line=0, change="", source=path_of(module).read_text()))
            _, status = os.waitpid(start(untouched, folder), 0)
            if status:
                print(f"the tests fail without any mutant of {module}")
                return 1
        for trial in survivors(modules, folder):
            known = f"`{trial}`" in page
            unexplained += not known
            print(f"{'known' if known else 'UNEXPLAINED'}  line {trial.mutant.line}  `{trial}`", flush=True)
    print(f"{unexplained} survive without a reason in {PAGE.relative_to(ROOT)}")
    return min(unexplained, 1)


if __name__ == "__main__":
    sys.exit(main())
