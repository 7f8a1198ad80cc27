"""The command line as a process: its start, its terminal, its pipes, its signals."""

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from imprint.cli import NOUNS
from imprint.cli.errors import INTERRUPTED, PIPE_CLOSED

GOOD = b"correct horse battery"

HEAVY = ("cryptography", "pydantic", "sqlalchemy", "smp", "smpclient", "cbor2", "asyncio")


def test_help_names_the_nouns_and_loads_nothing_heavy() -> None:
    program = (
        "import sys, imprint.cli, typer\n"
        "try: imprint.cli.run(['--help'])\n"
        "except typer.Exit: pass\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "\n"
    assert all(noun.summary[:30] in done.stdout for noun in NOUNS)


def test_as_a_module_and_as_a_program() -> None:
    as_module = [sys.executable, "-m", "imprint", "--nonsense"]
    as_program = [str(Path(sys.executable).with_name("imprint")), "--nonsense"]
    for program in (as_module, as_program):
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "imprint: No such option: --nonsense\nSee imprint --help\n"


OWN_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"


PROMPTED = """
import sys
from imprint.cli.passphrase import read_passphrase
from imprint.errors import PassphraseError
try:
    found = read_passphrase("workspace", new=True).reveal()
except PassphraseError as error:
    sys.exit(error.what)
sys.exit("got it" if found == b"correct horse battery" else "got something else")
"""


def at_a_terminal(*answers: bytes) -> tuple[str, str]:
    """Type the answers at the prompts: what the terminal showed, and the program's last word (on a pipe)."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL + PROMPTED],
        stdin=theirs,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    for answer in answers:
        while not shown.endswith(b": "):
            shown += os.read(ours, 100)
        os.write(ours, answer)
        shown += b"|"
    word = running.communicate(timeout=10)[1]
    with suppress(OSError):  # EIO: nobody holds the other end any more
        shown += os.read(ours, 1000)
    os.close(ours)
    return shown.decode(), word.decode().strip()


def test_the_prompt_asks_twice_and_shows_nothing() -> None:
    shown, word = at_a_terminal(GOOD + b"\n", GOOD + b"\n")
    assert word == "got it"
    assert shown.replace("\r\n", "") == "Passphrase for workspace: |The same again: |"


@pytest.mark.parametrize(
    ("answers", "word"),
    [
        ((GOOD + b"\n", b"incorrect horse battery\n"), "the two entries differ"),
        ((b"short\n",), "the passphrase is shorter than 12 characters"),
        ((b"\n",), "the passphrase is empty"),
        ((b"\x04",), "the passphrase is empty"),
    ],
)
def test_what_the_prompt_refuses(answers: tuple[bytes, ...], word: str) -> None:
    assert at_a_terminal(*answers)[1] == word


def test_without_a_terminal_nothing_is_read() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROMPTED], input=GOOD * 2, capture_output=True, start_new_session=True, check=False
    )
    assert (done.stdout, done.stderr) == (b"", b"there is no terminal to ask at\n")


def python(code: str) -> list[str]:
    body = f"from imprint.cli.errors import exit_code_of\ndef command():\n    {code}\n"
    return [sys.executable, "-c", body + "raise SystemExit(exit_code_of(command, as_json=False))"]


def test_a_reader_that_leaves_is_not_worth_a_word() -> None:
    program = python("import sys; sys.stdout.write('line\\n' * 100_000)")
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait() == PIPE_CLOSED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full disk")
def test_a_full_disk_under_stdout_is_an_error_once() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(python("print('result')"), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (9, "imprint: No space left on device\n")


def test_ctrl_c_ends_calmly() -> None:
    program = python(
        # A job that a shell runs in the background inherits an ignored SIGINT.
        "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "ready\n"
        os.kill(running.pid, signal.SIGINT)
        assert running.wait() == INTERRUPTED
        assert running.stderr.read() == "imprint: interrupted\n"
