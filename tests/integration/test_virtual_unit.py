"""The virtual unit as a process on serial lines, driven by smpmgr and smpclient, with images by imgtool."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import serial
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from smp import os_management, packet
from smp.exceptions import SMPException
from smp.message import ResponseType
from smpclient import SMPClient
from smpclient.requests.image_management import ImageStatesRead, ImageStatesWrite
from smpclient.requests.os_management import EchoWrite, ResetWrite
from smpclient.transport.serial import SMPSerialTransport

from imprint.formats import mcuboot
from imprint.formats import provisioning_group as group
from imprint.formats.provisioning_group import UnitStatement

KEY = ec.derive_private_key(0x1337, ec.SECP256R1())


class _Answers:
    """What smpclient needs to know of a request of our group."""

    _ErrorV1 = group.ErrorV1
    _ErrorV2 = group.ErrorV2


class Identify(group.IdentifyRequest, _Answers):
    _Response = group.IdentifyResponse


class MakeKey(group.KeyWriteRequest, _Answers):
    _Response = group.KeyWriteResponse


class ReadCsr(group.CsrRequest, _Answers):
    _Response = group.CsrResponse


class ReadCertificate(group.CertificateReadRequest, _Answers):
    _Response = group.CertificateReadResponse


class WriteDebug(group.DebugWriteRequest, _Answers):
    _Response = group.DebugWriteResponse


class Prove(group.ProveRequest, _Answers):
    _Response = group.ProveResponse


def spki() -> bytes:
    return KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def signed(version: str, counter: int, *, size: int = 20_000) -> bytes:
    return mcuboot.build(
        os.urandom(size),
        version=mcuboot.parse_version(version),
        security_counter=counter,
        key_spki=spki(),
        sign=lambda message: KEY.sign(message, ec.ECDSA(hashes.SHA256())),
    )


@pytest.fixture
def boot_key(tmp_path: Path) -> Path:
    path = tmp_path / "boot.pem"
    path.write_bytes(
        KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return path


@contextlib.contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[list[dict[str, Any]], subprocess.Popen[str]]]:
    """The command, ready; what it said about its units; and its end, which must be clean if it still runs then."""
    command = [sys.executable, "-m", "imprint", "virtual", "--dir", str(folder), "--json", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield json.loads(line)["units"], process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0, process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def smpmgr(port: Path, *arguments: str) -> str:
    program = Path(sys.executable).with_name("smpmgr")
    command = [str(program), "--port", str(port), "--line-length", "128", "--line-buffers", "16", *arguments]
    wide = os.environ | {"COLUMNS": "200"}
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, env=wide
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def with_unit(port: Path, work: Any, timeout: float = 2.5) -> Any:
    async def connected() -> Any:
        async with SMPClient(SMPSerialTransport(), str(port), timeout) as client:
            return await work(client)

    return asyncio.run(connected())


async def ask(client: SMPClient, request: Any) -> Any:
    answer = await client.request(request)
    assert answer.RESPONSE_TYPE is ResponseType.SUCCESS, answer
    return answer


async def install(client: SMPClient, image: bytes) -> None:
    async for _ in client.upload(image):
        pass
    await ask(client, ImageStatesWrite(hash=mcuboot.parse(image).image_hash))
    await ask(client, ResetWrite())


def on_bench(path: Path, request: bytes) -> bytes:
    with serial.Serial(str(path), timeout=5) as line:
        line.write(request)
        return bytes(line.readline())


def read_frame(line: serial.Serial) -> bytes:
    decoder = packet.decode()
    next(decoder)
    try:
        while True:
            decoder.send(line.readline())
    except StopIteration as complete:
        return bytes(complete.value)


def running_version(states: str) -> str:
    found = re.search(r"slot=0,\s+version='([^']+)'", states)
    assert found, states
    return found[1]


def test_smpmgr_upgrades_a_unit_with_an_image_that_imgtool_signed(tmp_path: Path, boot_key: Path) -> None:
    (tmp_path / "key.pem").write_bytes(
        KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (tmp_path / "payload.bin").write_bytes(os.urandom(30_000))

    def imgtool(name: str, version: str, counter: int) -> Path:
        command = [sys.executable, "-c", "from imgtool.main import imgtool; imgtool()", "sign", "--key", "key.pem"]
        command += ["--align", "8", "--header-size", "0x200", "--pad-header", "--slot-size", "0x80000"]
        command += ["--version", version, "--security-counter", str(counter), "payload.bin", name]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        return tmp_path / name

    def upgrade(port: Path, image: Path) -> str:
        smpmgr(port, "image", "upload", str(image))
        smpmgr(port, "image", "state-write", mcuboot.parse(image.read_bytes()).image_hash.hex())
        smpmgr(port, "os", "reset")
        return running_version(smpmgr(port, "image", "state-read"))

    with served(tmp_path / "V", "--boot-key", str(boot_key)) as (units, _):
        port = Path(units[0]["port"])
        assert "r='hi'" in smpmgr(port, "os", "echo", "hi")
        assert "No images" in smpmgr(port, "image", "state-read")
        assert upgrade(port, imgtool("first.bin", "1.0.0", 2)) == "1.0.0"
        assert upgrade(port, imgtool("second.bin", "1.1.0", 3)) == "1.1.0"

        flipped = bytearray(imgtool("third.bin", "1.2.0", 3).read_bytes())
        flipped[0x300] ^= 1
        (tmp_path / "flipped.bin").write_bytes(flipped)
        assert upgrade(port, tmp_path / "flipped.bin") == "1.1.0"
        identity = with_unit(port, lambda client: ask(client, Identify()))
        assert (identity.mode, identity.boot_error) == (1, "secondary image: the hash does not match")

        assert upgrade(port, tmp_path / "first.bin") == "1.1.0"
        identity = with_unit(port, lambda client: ask(client, Identify()))
        assert identity.boot_error == "secondary image: security counter 2 is below the stored 3"


def test_smpclient_finds_all_states_as_it_expects_them(tmp_path: Path) -> None:
    image = signed("4.5.6", 1)

    async def work(client: SMPClient) -> None:
        assert (await ask(client, EchoWrite(d="x" * 1500))).r == "x" * 1500
        async for _ in client.upload(image):
            pass
        (state,) = (await ask(client, ImageStatesRead())).images
        assert (state.slot, state.version, state.pending, state.active) == (1, "4.5.6", False, False)
        await ask(client, ImageStatesWrite(hash=state.hash, confirm=True))
        await ask(client, ResetWrite())
        (state,) = (await ask(client, ImageStatesRead())).images
        assert (state.slot, state.confirmed, state.active) == (0, True, True)

    with served(tmp_path / "V") as (units, _):
        with_unit(Path(units[0]["port"]), work)


def test_a_unit_is_provisioned_and_locked_over_its_port_and_the_bench(tmp_path: Path, boot_key: Path) -> None:
    image = signed("1.0.0", 1)

    async def provision(client: SMPClient) -> bytes:
        await install(client, image)
        public = bytes((await ask(client, MakeKey(alg=0))).pub)
        request = x509.load_der_x509_csr((await ask(client, ReadCsr())).csr)
        assert request.is_signature_valid
        await ask(client, WriteDebug(level=2))
        return public

    async def prove(client: SMPClient) -> Any:
        return await ask(client, Prove(nonce=b"n" * 32))

    with served(tmp_path / "V", "--boot-key", str(boot_key)) as (units, _):
        port, bench = Path(units[0]["port"]), Path(units[0]["bench"])
        public = with_unit(port, provision)
        assert on_bench(bench, b"debug attach\n") == b"ok open 2ba01477\n"
        assert on_bench(bench, b"power cycle\n") == b"ok power-cycled\n"
        assert on_bench(bench, b"debug attach\r\n") == b"ok locked\n"
        assert on_bench(bench, b"make coffee\n").startswith(b"err unknown request")
        assert on_bench(bench, b"\xff\x00" * 100 + b"\n").startswith(b"err ")
        answer = with_unit(port, prove)
    key = serialization.load_der_public_key(public)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(answer.sig, group.STATEMENT_CONTEXT + answer.statement, ec.ECDSA(hashes.SHA256()))
    statement = UnitStatement.decode(answer.statement)
    assert statement.hw.hex() == units[0]["hardware_id"]
    assert (statement.debug, statement.security, statement.version) == (2, 1, "1.0.0+0")
    assert statement.image == mcuboot.parse(image).image_hash


def test_the_folder_has_one_server_and_is_tidy_after_it(tmp_path: Path) -> None:
    folder = tmp_path / "V"
    with served(folder, "--count", "2") as (units, process):
        assert [Path(unit["port"]).is_symlink() for unit in units] == [True, True]
        command = [sys.executable, "-m", "imprint", "virtual", "--dir", str(folder)]
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        assert second.returncode == 5
        assert "another process serves these units" in second.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "units"]
    with served(folder, "--count", "3") as (again, _):
        assert [unit["hardware_id"] for unit in again[:2]] == [unit["hardware_id"] for unit in units]
        assert len({unit["hardware_id"] for unit in again}) == 3


def test_a_server_killed_in_an_upload_comes_back_with_the_old_image(tmp_path: Path, boot_key: Path) -> None:
    old, new = signed("1.0.0", 1), signed("2.0.0", 2, size=200_000)
    folder = tmp_path / "V"
    with served(folder, "--boot-key", str(boot_key)) as (units, process):
        port = Path(units[0]["port"])

        async def interrupted(client: SMPClient) -> None:
            await install(client, old)
            async for offset in client.upload(new):
                if offset > 50_000:
                    process.kill()
                    return

        with_unit(port, interrupted)
        process.wait(5)
    with served(folder) as (again, _):
        assert again[0]["hardware_id"] == units[0]["hardware_id"]
        assert running_version(smpmgr(port, "image", "state-read")) == "1.0.0"
        with_unit(port, lambda client: install(client, new))
        assert running_version(smpmgr(port, "image", "state-read")) == "2.0.0"


def test_a_number_that_was_told_is_never_told_again_however_the_server_dies(tmp_path: Path, boot_key: Path) -> None:
    told: list[int] = []

    async def prove_until_killed(client: SMPClient, process: subprocess.Popen[str], count: int) -> None:
        if not told:
            await install(client, signed("1.0.0", 1))
            await ask(client, MakeKey(alg=0))
        for _ in range(count):
            statement = UnitStatement.decode((await ask(client, Prove(nonce=bytes(16)))).statement)
            told.append(statement.monotonic)
        await client._transport.send(bytes(Prove(nonce=bytes(16))))  # killed while it works on this one
        process.kill()

    for count in (3, 1, 5, 2):
        with served(tmp_path / "V", "--boot-key", str(boot_key)) as (units, process):

            async def work(client: SMPClient, count: int = count, process: subprocess.Popen[str] = process) -> None:
                await prove_until_killed(client, process, count)

            with_unit(Path(units[0]["port"]), work)
            process.wait(5)
    assert told == sorted(set(told))
    assert len(told) == 11


def test_a_frame_that_is_too_large_is_answered(tmp_path: Path) -> None:
    with served(tmp_path / "V") as (units, _), serial.Serial(units[0]["port"], timeout=5) as line:
        request = os_management.EchoWriteRequest(d="x" * 3000)
        for piece in packet.encode(bytes(request), 128):
            line.write(piece)
        answer = os_management.OSManagementErrorV1.loads(read_frame(line))
        assert (answer.rc.name, answer.sequence) == ("EMSGSIZE", request.sequence)


def test_faults_as_asked_for(tmp_path: Path) -> None:
    image = signed("1.0.0", 1)
    faults = [
        f"--fault={fault}" for fault in ("1=clone=0", "2=false-lock", "3=hang=5", "4=power-loss", "5=drop-bytes=150")
    ]
    with served(tmp_path / "V", "--count", "6", *faults) as (units, _):
        ports = [Path(unit["port"]) for unit in units]
        assert with_unit(ports[1], lambda client: ask(client, Identify())).hw.hex() == units[0]["hardware_id"]
        assert units[1]["hardware_id"] == units[0]["hardware_id"]

        async def lock(client: SMPClient) -> None:
            await install(client, image)
            await ask(client, WriteDebug(level=2))

        with_unit(ports[2], lock)
        on_bench(Path(units[2]["bench"]), b"power cycle\n")
        assert on_bench(Path(units[2]["bench"]), b"debug attach\n") == b"ok open 2ba01477\n"

        async def until_silence(client: SMPClient) -> int:
            for count in range(10):
                try:
                    await ask(client, EchoWrite(d="?"))
                except TimeoutError:
                    return count
            return 10

        assert with_unit(ports[3], until_silence, 0.3) == 4  # the parameters were the first request
        on_bench(Path(units[3]["bench"]), b"power cycle\n")
        assert with_unit(ports[3], until_silence, 0.3) == 4

        with pytest.raises(TimeoutError):
            with_unit(ports[4], lambda client: install(client, image), 0.5)
        with_unit(ports[4], lambda client: install(client, image))

        async def echo(client: SMPClient) -> None:
            await ask(client, EchoWrite(d="x" * 40))

        def lost(port: Path) -> bool:
            try:
                with_unit(port, echo, 0.1)  # the connection's first request is on the same wire
            except (TimeoutError, ValueError, SMPException):  # nothing came, or something with a hole in it
                return True
            return False

        assert {lost(ports[5]) for _ in range(40)} == {True, False}


@pytest.mark.parametrize(
    "option", [["--fault", "7=hang"], ["--fault", "0=clone=9"], ["--count", "0"], ["--fault", "0=x"]]
)
def test_orders_that_make_no_sense_are_refused(tmp_path: Path, option: list[str]) -> None:
    command = [sys.executable, "-m", "imprint", "virtual", "--dir", str(tmp_path / "V"), *option]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 3, done.stderr
    assert not (tmp_path / "V" / "units").exists()


def test_another_boot_key_than_the_fused_one_is_refused(tmp_path: Path, boot_key: Path) -> None:
    with served(tmp_path / "V", "--boot-key", str(boot_key)):
        pass
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    boot_key.write_bytes(
        other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    command = [sys.executable, "-m", "imprint", "virtual", "--dir", str(tmp_path / "V"), "--boot-key", str(boot_key)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 5
    assert "another boot key" in done.stderr


def test_openssl_verifies_a_preprovisioned_units_certificate(tmp_path: Path, boot_key: Path) -> None:
    options = ["--count", "2", "--boot-key", str(boot_key), "--preprovisioned", str(tmp_path / "vendor")]
    image = signed("1.0.0", 1)

    async def read(client: SMPClient) -> tuple[bytes, Any]:
        await install(client, image)
        certificate = (await ask(client, ReadCertificate(off=0))).data
        return certificate, await ask(client, MakeKey(alg=1))

    for attempt in range(2):
        with served(tmp_path / "V", *options) as (units, _):
            for unit in units:
                certificate, key = with_unit(Path(unit["port"]), read)
                assert key.made is False
                leaf = x509.load_der_x509_certificate(certificate)
                (tmp_path / "leaf.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
                command = ["openssl", "verify", "-x509_strict", "-CAfile", "vendor/vendor-root.pem", "leaf.pem"]
                judged = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
                assert judged.returncode == 0, (attempt, judged.stdout + judged.stderr)
                named = leaf.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)[0].value
                assert named == unit["hardware_id"]
                public = leaf.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
                assert public == key.pub


def test_many_units_at_once(tmp_path: Path, boot_key: Path) -> None:
    image = signed("1.0.0", 1, size=100_000)

    async def one(port: str) -> Any:
        async with SMPClient(SMPSerialTransport(), port, 10) as client:
            await install(client, image)
            return await ask(client, Identify())

    async def all_at_once(ports: list[str]) -> list[Any]:
        waiting: list[Coroutine[Any, Any, Any]] = [one(port) for port in ports]
        return await asyncio.gather(*waiting)

    with served(tmp_path / "V", "--count", "8", "--boot-key", str(boot_key)) as (units, _):
        answers = asyncio.run(all_at_once([unit["port"] for unit in units]))
    assert [answer.hw.hex() for answer in answers] == [unit["hardware_id"] for unit in units]
    assert {answer.mode for answer in answers} == {1}


def test_a_server_that_can_no_longer_write_says_so_and_stops(tmp_path: Path) -> None:
    with served(tmp_path / "V") as (units, process):
        shutil.rmtree(tmp_path / "V" / "units")
        with serial.Serial(units[0]["port"], timeout=5) as line:
            for piece in packet.encode(bytes(os_management.ResetWriteRequest()), 128):
                line.write(piece)
        assert process.wait(5) == 9
        assert process.stderr is not None
        assert "counters.cbor" in process.stderr.read()
    assert sorted(path.name for path in (tmp_path / "V").iterdir()) == [".lock"]


def test_lines_for_people(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "imprint", "virtual", "--dir", str(tmp_path / "V"), "--count", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        time.sleep(0.1)
        process.terminate()
        assert process.wait(5) == 0
    for number, line in enumerate(lines):
        assert re.fullmatch(
            rf"{tmp_path}/V/{number}  bench {tmp_path}/V/{number}.bench  hardware ID [0-9a-f]{{16}}\n", line
        )
