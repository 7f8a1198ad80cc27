"""The maker's own test program: JSON in, JSON out, limits, a time-out.

The program is the maker's and runs with the station's rights; what it prints is from outside all the same. Its standard
error is thrown away, and of its answer only the measurements that the recipe names are kept.
"""

import asyncio
import contextlib
import json
import os
import signal
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from imprint.encoding import canonical
from imprint.errors import FormatError, UnitFailed
from imprint.protocol.evidence import Grade
from imprint.station.run import Run
from imprint.station.steps.limits import Limit, Name, describe, judge
from imprint.station.steps.step import Options

MOST_OUTPUT: Final = 1 << 16  # bytes
MOST_SECONDS: Final = 3600
_LONGEST_NUMBER: Final = 40
_LAST_WORDS_S: Final = 1.0
_SUBJECT: Final = "test program"


class ProgramOptions(Options):
    """``measures`` names what goes into the record; ``limits`` are about some of these."""

    command: list[Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]] = Field(min_length=1)
    timeout_s: int = Field(ge=1, le=MOST_SECONDS)
    measures: list[Name] = Field(default_factory=list)
    limits: dict[Name, Limit] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _limits_are_measured(self) -> "ProgramOptions":
        if unknown := sorted(self.limits.keys() - set(self.measures)):
            raise ValueError(f"there are limits for {', '.join(unknown)}, which 'measures' does not name")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A program's answer: measured values with their units, by name."""

    passed: bool
    values: dict[str, tuple[Decimal, str]]


async def run_program(run: Run, options: ProgramOptions) -> str:
    """Run the program while it has the unit's port to itself; it must say ``passed``, and every limit must hold."""
    question = canonical({"hardware_id": run.hardware_id, "serial": run.place.serial, "port": run.fixture.port})
    async with run.target.lend():
        verdict = parse_verdict(await output_of(options, question))
    await run.same_unit()
    missing = sorted(set(options.measures) - verdict.values.keys())
    if missing:
        raise run.fail(f"the test program did not measure {', '.join(missing)}", next_step="Check program and recipe")
    judged = [judge(run, name, *verdict.values[name], options.limits.get(name)) for name in options.measures]
    failed = [describe(one) for one in judged if not one.passed]
    if failed:
        raise run.fail(f"test program: {'; '.join(failed)}", next_step="Repair the board or scrap it")
    if not verdict.passed:
        raise run.fail("the test program failed the unit", next_step="Repair the board or scrap it")
    run.observe("self-test", "passed", Grade.STATION_OBSERVED)
    return f"{len(judged)} measurements"


async def output_of(options: ProgramOptions, question: bytes) -> bytes:
    """What the program printed, given ``question`` on its standard input.

    Raises :class:`UnitFailed` when it does not start, end well, end in time or keep to 64 KiB. It and its children are
    killed when it is stopped before its end.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *options.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as problem:
        raise UnitFailed(
            f"the test program does not start: {problem.strerror}",
            subject=options.command[0],
            next_step="Install it, or correct the recipe",
        ) from None
    finished = False
    try:
        async with asyncio.timeout(options.timeout_s):
            output = await _converse(process, question)
            code = await process.wait()
        finished = True
    except TimeoutError:
        raise UnitFailed(f"no verdict within {options.timeout_s} s", subject=_SUBJECT) from None
    finally:
        if not finished:
            await _kill(process)
    if code != 0:
        raise UnitFailed(f"it ended with exit code {code}", subject=_SUBJECT, next_step="Run it by hand")
    return output


async def _converse(process: asyncio.subprocess.Process, question: bytes) -> bytes:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read its input
        process.stdin.write(question)
        await process.stdin.drain()
    process.stdin.close()
    output = b""
    while piece := await process.stdout.read(MOST_OUTPUT):
        output += piece
        if len(output) > MOST_OUTPUT:
            raise UnitFailed(f"it printed more than {MOST_OUTPUT} bytes", subject=_SUBJECT)
    return output


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End the program and all that it started. One that left the process group cannot be found, nor waited for."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    if process.stdout is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                while await process.stdout.read(MOST_OUTPUT):
                    pass


class _Measured(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name
    value: Decimal
    unit: str = Field(default="", max_length=16)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    passed: bool
    measurements: list[_Measured] = Field(default_factory=list, max_length=1000)


_answer = TypeAdapter(_Answer)


def parse_verdict(output: bytes) -> Verdict:
    """A test program's answer: ``{"passed": bool, "measurements": [{"name", "value", "unit"}]}``, or
    :class:`FormatError`. Numbers keep the text in which they were written."""
    try:
        found = json.loads(output, parse_float=_decimal, parse_int=_decimal, parse_constant=_decimal)
        answer = _answer.validate_python(found)
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the top"
        raise FormatError(f"{first['msg']} at {place}", subject=_SUBJECT) from None
    except (ValueError, RecursionError):
        raise FormatError("its output is not JSON in UTF-8", subject=_SUBJECT, next_step="Run it by hand") from None
    values = {one.name: (one.value, one.unit) for one in answer.measurements}
    if len(values) != len(answer.measurements):
        raise FormatError("a measurement occurs twice", subject=_SUBJECT)
    return Verdict(passed=answer.passed, values=values)


def _decimal(text: str) -> Any:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("too long for a record")
    try:
        number = Decimal(text)
    except InvalidOperation as problem:
        raise ValueError("out of range") from problem
    if not number.is_finite():
        raise ValueError("not finite")
    return number
