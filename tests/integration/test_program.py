"""The maker's test program: real programs are run, good ones and bad ones."""

import asyncio
import sys
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import FormatError, ImprintError, UnitFailed
from imprint.station.steps.program import MOST_OUTPUT, ProgramOptions, output_of, parse_verdict


def options(program: str, *, timeout_s: int = 10) -> ProgramOptions:
    return ProgramOptions(command=[sys.executable, "-c", program], timeout_s=timeout_s)


def run(program: str, *, timeout_s: int = 10) -> bytes:
    return asyncio.run(output_of(options(program, timeout_s=timeout_s), b'{"serial":"S1"}'))


def test_a_program_reads_its_question_and_answers() -> None:
    assert run("import sys; print(sys.stdin.read(), end='')") == b'{"serial":"S1"}'


def test_a_program_need_not_read_its_question() -> None:
    assert run("import os; os.close(0); print('{}')") == b"{}\n"


def test_what_it_says_on_standard_error_is_thrown_away(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("import sys; print('key=0123', file=sys.stderr); print('{}')") == b"{}\n"
    assert "0123" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("program", "what"),
    [
        ("import sys; print('{}'); sys.exit(3)", "exit code 3"),
        (f"print('x' * {MOST_OUTPUT + 1})", "printed more than"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "exit code -11"),
    ],
)
def test_programs_that_fail(program: str, what: str) -> None:
    with pytest.raises(UnitFailed, match=what):
        run(program)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(UnitFailed, match="does not start: No such file"):
        asyncio.run(output_of(ProgramOptions(command=["/no/such/program"], timeout_s=1), b"{}"))


def alive(path: Path) -> list[str]:
    """Of the process IDs in a file those that still run."""
    found = []
    for pid in path.read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z":
                found.append(pid)
    return found


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({path!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
{then}
"""


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    began = time.monotonic()
    with pytest.raises(UnitFailed, match="no verdict within 1 s"):
        run(STUBBORN.format(path=str(path), then="time.sleep(60)"), timeout_s=1)
    assert time.monotonic() - began < 10
    assert len(path.read_text().split()) == 2
    assert wait_for_end(path) == []


def test_a_child_that_outlives_its_program_is_killed_as_well(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    with pytest.raises(UnitFailed, match="no verdict within 1 s"):
        run(STUBBORN.format(path=str(path), then=""), timeout_s=1)
    assert wait_for_end(path) == []


def test_a_cancelled_run_leaves_no_program_behind(tmp_path: Path) -> None:
    path = tmp_path / "pids"

    async def main() -> None:
        program = STUBBORN.format(path=str(path), then="time.sleep(60)")
        task = asyncio.create_task(output_of(options(program, timeout_s=60), b"{}"))
        while not path.exists() or len(path.read_text().split()) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert wait_for_end(path) == []


def wait_for_end(path: Path) -> list[str]:
    end = time.monotonic() + 5
    while (left := alive(path)) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def test_numbers_keep_their_text() -> None:
    verdict = parse_verdict(
        b'{"passed": true, "measurements": [{"name": "a", "value": 3.30, "unit": "V"}, {"name": "b", "value": 7}]}'
    )
    assert verdict.passed
    assert {name: (str(value), unit) for name, (value, unit) in verdict.values.items()} == {
        "a": ("3.30", "V"),
        "b": ("7", ""),
    }


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"passed": 1}',
        b'{"passed": true, "log": "x"}',
        b'{"passed": true, "measurements": [{"name": "a", "value": "1"}]}',
        b'{"passed": true, "measurements": [{"name": "a", "value": NaN}]}',
        b'{"passed": true, "measurements": [{"name": "a", "value": true}]}',
        b'{"passed": true, "measurements": [{"name": "a\\n", "value": 1}]}',
        b'{"passed": true, "measurements": [{"name": "a", "value": 1}, {"name": "a", "value": 1}]}',
        b'{"passed": true, "measurements": [{"name": "a", "value": 1' + b"0" * 5000 + b"}]}",
        b'{"passed": true, "measurements": [{"name": "a", "value": 1e999999999999999999999}]}',
        b"[" * 100000,
    ],
)
def test_output_that_is_no_verdict(output: bytes) -> None:
    with pytest.raises(FormatError):
        parse_verdict(output)


@given(st.binary(max_size=200))
def test_any_output_gives_a_verdict_or_a_typed_error(output: bytes) -> None:
    with suppress(ImprintError):
        parse_verdict(output)


def test_limits_hold_to_the_last_digit() -> None:
    chosen = ProgramOptions.model_validate(
        {"command": ["x"], "timeout_s": 1, "measures": ["v"], "limits": {"v": {"low": 3.0, "high": 3.3}}}
    )
    limit = chosen.limits["v"]
    assert limit.holds(Decimal("3.3"))
    assert limit.holds(Decimal("3.0"))
    assert not limit.holds(Decimal("3.3000000000000001"))
    assert not limit.holds(Decimal("2.9999"))
