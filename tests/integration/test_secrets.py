"""No secret in the clear: not in a file, a log, an argument list, an environment or what was captured."""

import base64
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from production_line import IMPRINT, PASSPHRASE, ROOT_PASSPHRASE, Line, make_line, run, served
from secret_scan import Needle, found_in, key_forms, key_secrets, needles

PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey
KEYS = {"device-ca", "ledger", "record", "firmware", "access-ca", "service", "root"}


def keys_of(workspace: Path, passphrase: bytes, root_passphrase: bytes) -> dict[str, PrivateKey]:
    """The workspace's private keys, decrypted by the test."""
    found = {}
    for path in [*(workspace / "keys").glob("*.pem"), workspace / "root" / "root.pem"]:
        if not path.name.endswith(".pub.pem"):
            key = load_pem_private_key(path.read_bytes(), root_passphrase if path.stem == "root" else passphrase)
            assert isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey)
            found[path.stem] = key
    assert found.keys() == KEYS
    return found


def keys_of_units(bench: Path) -> dict[str, PrivateKey]:
    """What the units keep to themselves."""
    found = {}
    for path in bench.glob("units/*/identity.key"):
        key = load_der_private_key(path.read_bytes(), None)
        assert isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey)
        found[f"unit {path.parent.name}"] = key
    return found


def all_needles(keys: dict[str, PrivateKey], *passphrases: bytes) -> list[Needle]:
    secrets = {f"passphrase {number}": value for number, value in enumerate(passphrases)}
    for name, key in keys.items():
        secrets |= key_secrets(name, key)
    return needles(secrets)


def leaks(folder: Path, searched: list[Needle], *, apart: tuple[Path, ...]) -> list[str]:
    """Where a needle is in a file or a file's name. ``apart``: what may hold secrets."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(path.is_relative_to(one) for one in apart):
            found += [f"{path}: {name}" for name in found_in(path.read_bytes() + str(path).encode(), searched)]
    return found


def watched(command: list[str]) -> tuple[subprocess.CompletedProcess[bytes], bytes]:
    """Run; also every argument list and environment of the process and its descendants, while they lived."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen: set[bytes] = set()
    while process.poll() is None:
        for number in family(str(process.pid)):
            for name in ("cmdline", "environ"):
                with suppress(OSError):  # it has just ended
                    seen.add(Path("/proc", number, name).read_bytes())
        time.sleep(0.005)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors), b"\n".join(sorted(seen))


def family(number: str) -> list[str]:
    """A process and its descendants."""
    children: list[str] = []
    with suppress(OSError):
        for path in Path("/proc", number, "task").glob("*/children"):
            children += path.read_text().split()
    return [number, *(one for child in children for one in family(child))]


@pytest.fixture(scope="module")
def searched_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Needle], bytes]:
    """A demonstration that was watched: its folder, what to look for, and all that was captured."""
    folder = tmp_path_factory.mktemp("secrets")
    secret_file = folder / "passphrase"
    secret_file.write_bytes(PASSPHRASE + b"\n")
    secret_file.chmod(0o600)
    command = [*IMPRINT, "demo", "--units", "6", "--fixtures", "3", "--dir", str(folder / "D")]
    done, processes = watched([*command, "--passphrase-file", str(secret_file)])
    assert done.returncode == 0, done.stderr
    assert b"--fault" in processes, "the units' process was seen as well"
    keys = keys_of(folder / "D" / "workspace", PASSPHRASE, PASSPHRASE) | keys_of_units(folder / "D" / "bench")
    assert len(keys) > len(KEYS) + 3
    return folder / "D", all_needles(keys, PASSPHRASE), done.stdout + done.stderr + processes


def test_a_demonstration_leaks_nothing(searched_demo: tuple[Path, list[Needle], bytes]) -> None:
    folder, searched, captured = searched_demo
    assert leaks(folder, searched, apart=(folder / "bench" / "units",)) == []
    assert found_in(captured, searched) == []
    own = leaks(folder / "bench" / "units", searched, apart=())
    assert own, "the scan sees the units' own keys where they belong"
    assert all("identity.key" in one for one in own)


def test_a_station_and_its_owner_leak_nothing(tmp_path: Path) -> None:
    """Two passphrases through a descriptor, the wrong one of which is refused, and debug output is asked for."""
    line = make_line(tmp_path / "L", count=3)
    line.passphrase_file.unlink()
    captured = b""
    with served(line.bench, 3, "2=self-test"):
        for passphrase in (PASSPHRASE, ROOT_PASSPHRASE):
            captured += run_with_descriptor(line, passphrase)
    searched = all_needles(
        keys_of(line.workspace, PASSPHRASE, ROOT_PASSPHRASE) | keys_of_units(line.bench), PASSPHRASE, ROOT_PASSPHRASE
    )
    assert b"SN-000001" in captured
    assert b"with this passphrase" in captured
    assert leaks(line.folder, searched, apart=(line.bench / "units",)) == []
    assert found_in(captured, searched) == []


def run_with_descriptor(line: Line, passphrase: bytes) -> bytes:
    """The station's run with the passphrase on descriptor 0; what it said."""
    fixtures = [text for unit in "012" for text in ("--fixture", str(line.bench / unit))]
    command = [*IMPRINT, "-C", str(line.workspace), "station", "run", "--lot", "L1", *fixtures, "--passphrase-fd", "0"]
    done = subprocess.run(
        command,
        input=passphrase + b"\n",
        capture_output=True,
        check=False,
        env=os.environ | {"IMPRINT_TRACEBACK": "1", "PYTHONASYNCIODEBUG": "1"},
    )
    return done.stdout + done.stderr


PLANTED: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda secret: b"before" + secret + b"after",
    "hex": lambda secret: b"key=" + secret.hex().encode(),
    "upper-case hex": lambda secret: secret.hex().upper().encode(),
    "base64": base64.b64encode,
    "base64, one byte on": lambda secret: base64.b64encode(b"x" + secret + b"yy"),
    "base64, two bytes on": lambda secret: base64.b64encode(b"xy" + secret + b"y"),
    "url-safe base64": base64.urlsafe_b64encode,
    "base64 in lines": lambda secret: base64.encodebytes(bytes(40) + secret),
}


@pytest.mark.parametrize("form", PLANTED)
@pytest.mark.parametrize("secret", ["firmware", "ledger", "passphrase 0"])
def test_the_scan_finds_what_is_planted(
    searched_demo: tuple[Path, list[Needle], bytes], tmp_path: Path, form: str, secret: str
) -> None:
    """The negative control."""
    _, searched, _ = searched_demo
    value = next(needle.data for needle in searched if needle.name == f"{secret} in raw")
    (tmp_path / "some.log").write_bytes(b"a line\n" + PLANTED[form](value) + b"\nanother\n")
    (found, *_) = leaks(tmp_path, searched, apart=())
    assert secret in found


def test_the_scan_finds_whole_keys(searched_demo: tuple[Path, list[Needle], bytes], tmp_path: Path) -> None:
    """PKCS#8 and SEC 1; DER, also in base64, and PEM, also inside JSON."""
    folder, searched, _ = searched_demo
    for name, key in keys_of(folder / "workspace", PASSPHRASE, PASSPHRASE).items():
        for form, data in key_forms(key).items():
            again = base64.b64encode(data) if form.endswith("der") else data.replace(b"\n", b"\\n")
            for written in (data, again):
                (tmp_path / "file").write_bytes(b"{" + written + b"}")
                assert any(name in one for one in leaks(tmp_path, searched, apart=())), (name, form)


def test_an_argument_and_a_variable_are_seen(searched_demo: tuple[Path, list[Needle], bytes]) -> None:
    """The watcher's own negative control: a child that gets the passphrase as an argument, one as a variable."""
    _, searched, _ = searched_demo
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(0.3)', {!r}])"
    for program in (child.format(PASSPHRASE.decode()), "import time; time.sleep(0.3)"):
        _, processes = watched(
            [sys.executable, "-c", program]
            if "subprocess" in program
            else ["env", f"SECRET={PASSPHRASE.decode()}", sys.executable, "-c", program]
        )
        assert "passphrase 0 in raw" in found_in(processes, searched)


def test_help_and_errors_name_no_passphrase_option_with_a_value() -> None:
    """There is no option that takes a passphrase itself."""
    told = run([*IMPRINT, "station", "run", "--help"], env=os.environ | {"COLUMNS": "200"}).stdout
    assert "--passphrase-file" in told
    assert "--passphrase " not in told
