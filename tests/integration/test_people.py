"""People on other machines: the command line in enrolled folders, against a service that runs."""

import asyncio
import json
import re
import select
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from imprint.assemble import open_platform
from imprint.protocol.answers import Claimed
from imprint.protocol.commands import CreateLot
from imprint.protocol.intentions import ClaimUnit, QuarantineUnit
from imprint.reader import open_reader
from imprint.station.recipe import SHIPPED
from production_line import IMPRINT, LOT, PASSPHRASE, PATIENCE_S, Line, make_line, served
from service_line import Service, free_ports, give, serving

PIPES = subprocess.PIPE
ROLES = ("owner", "officer", "operator", "auditor")
UNITS = 2


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two complete units, and a person for each role."""
    line = make_line(tmp_path_factory.mktemp("people"), count=50)
    with served(line.bench, UNITS):
        subprocess.run(line.station(range(UNITS)), check=True, capture_output=True, timeout=PATIENCE_S)
    with serving(line) as running:
        for role in ROLES:
            done = enrolling(running, f"the-{role}", role)
            assert done.returncode == 0, done.stderr
        yield running


def enrolling(service: Service, name: str, role: str) -> "subprocess.CompletedProcess[str]":
    folder = service.line.folder / name
    give(folder.with_suffix(".invitation"), service.invite(name, role))
    words = ("account", "enrol", service.enrol_url, "--dir", str(folder))
    secrets = ("--invitation-file", str(folder.with_suffix(".invitation")))
    passphrase = ("--passphrase-file", str(service.line.passphrase_file))
    return subprocess.run([*IMPRINT, *words, *secrets, *passphrase], stdout=PIPES, stderr=PIPES, text=True, check=False)


def run(line: Line, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command in a folder, as a person types it."""
    passphrase = ("--passphrase-file", str(line.passphrase_file))
    return subprocess.run(
        [*IMPRINT, "-C", str(folder), *words, *passphrase],
        stdout=PIPES,
        stderr=PIPES,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def ask(service: Service, role: str, *words: str) -> dict[str, Any]:
    """What a command says that must succeed."""
    done = run(service.line, service.line.folder / f"the-{role}", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(service: Service, role: str, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and error of a command that must fail."""
    done = run(service.line, service.line.folder / f"the-{role}", *words, "--json")
    assert done.stdout == ""
    return done.returncode, json.loads(done.stderr)["error"]


def entries(line: Line, kind: str) -> list[Any]:
    """The ledger's entries of one type."""
    listed = command_here(line, "ledger", "list", "--count", "10000")["entries"]
    return [entry for entry in listed if entry["type"] == kind]


def command_here(line: Line, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [*IMPRINT, "-C", str(line.workspace), *words, "--json"], stdout=PIPES, text=True, check=True, timeout=PATIENCE_S
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# --- the same commands, from afar ---


def test_a_person_is_told_what_to_do_first(service: Service) -> None:
    done = enrolling(service, "anna", "owner")
    folder = service.line.folder / "anna"
    assert done.returncode == 0
    assert done.stderr == f"Next: imprint -C {folder} lot list\n"
    assert not (folder / "station").exists(), "she runs no fixtures"
    listed = run(service.line, folder, "lot", "list")
    assert LOT in listed.stdout


def test_views_say_the_same_as_in_the_workspace(service: Service) -> None:
    unit = ask(service, "auditor", "unit", "list", "--lot", LOT)["units"][0]
    views: Sequence[tuple[str, ...]] = (
        ("lot", "list"),
        ("lot", "show", LOT),
        ("lot", "report", LOT),
        ("unit", "list", "--lot", LOT),
        ("unit", "list", "--lot", LOT, "--state", "complete"),
        ("unit", "show", unit["serial"]),
        ("unit", "show", unit["hardware_id"]),
        ("product", "list"),
        ("product", "show", "lamp"),
        ("release", "list"),
        ("account", "list"),
    )
    for words in views:
        assert ask(service, "auditor", *words) == command_here(service.line, *words), words


def test_an_owner_works_from_afar(service: Service, tmp_path: Path) -> None:
    product = tmp_path / "lantern.yaml"
    template = subprocess.run([*IMPRINT, "product", "template"], stdout=PIPES, text=True, check=True).stdout
    product.write_text(template.replace("my-product", "lantern").replace("02:00:00:00:00:01", "02:00:00:01:00:00"))
    assert ask(service, "owner", "product", "add", str(product)) == {"product": "lantern"}
    create = ("--product", "lamp", "--count", "3", "--release", "1.0.0", "--diagnostic", "0.9.0")
    created = ask(service, "owner", "lot", "create", "L-afar", *create, "--refunds-at-most", "1")
    assert (created["lot"], created["granted"], created["state"]) == ("L-afar", 3, "open")
    code, error = refused(service, "owner", "lot", "create", "L-afar", *create)
    assert (code, error["kind"], error["rule"]) == (4, "RefusedError", "name-taken")
    code, error = refused(service, "owner", "lot", "refund", "L-afar", "--count", "1", "--reason", "burnt")
    assert (code, error["rule"]) == (4, "not-scrapped")
    closed = ask(service, "owner", "lot", "close", "L-afar")
    assert (closed["state"], closed["signed"]) == ("closed", True)
    (entry,) = [entry for entry in entries(service.line, "lot.created") if entry["actor"] == "the-owner"]
    assert entry["actor"] == "the-owner", "the ledger knows who it was"


def test_a_recipe_that_does_not_fit_is_told_before_the_lot_is_pinned(service: Service) -> None:
    create = ("--product", "lamp", "--count", "3", "--release", "1.0.0", "--recipe", "preprovisioned")
    before = len(command_here(service.line, "lot", "list")["lots"])
    code, error = refused(service, "owner", "lot", "create", "L-misfit", *create)
    assert (code, error["kind"]) == (3, "RecipeError")
    assert len(command_here(service.line, "lot", "list")["lots"]) == before


def test_an_officer_revokes_and_signs_the_list(service: Service) -> None:
    serial = ask(service, "officer", "unit", "list", "--lot", LOT)["units"][0]["serial"]
    revoke = ("unit", "revoke", serial, "--reason", "keyCompromise", "--note", "stolen from the van")
    assert ask(service, "officer", *revoke) == {"serial": serial, "certificate": "revoked"}
    code, error = refused(service, "officer", *revoke)
    assert (code, error["rule"]) == (4, "revoked"), "a command that was answered is a new request when it is run again"
    signed = ask(service, "officer", "crl", "sign")
    crl = service.line.folder / "the-officer" / "crl.pem"
    assert (signed["revoked"], signed["file"]) == (1, str(crl))
    ca = service.line.workspace / "certs" / "ca.pem"
    checked = subprocess.run(
        ["openssl", "crl", "-in", str(crl), "-CAfile", str(ca), "-noout"], capture_output=True, text=True, check=False
    )
    assert "verify OK" in checked.stdout + checked.stderr
    assert ask(service, "auditor", "crl", "show") == command_here(service.line, "crl", "show")
    assert [one["serial"] for one in ask(service, "auditor", "crl", "show")["certificates"]] == [serial]


def test_accounts_are_kept_from_afar(service: Service) -> None:
    invited = ask(service, "owner", "account", "invite", "bench-9", "--role", "station")
    folder = service.line.folder / "bench-9"
    give(folder.with_suffix(".invitation"), invited["invitation"])
    words = ("station", "enrol", service.enrol_url, "--dir", str(folder), "--json")
    secrets = ("--invitation-file", str(folder.with_suffix(".invitation")))
    passphrase = ("--passphrase-file", str(service.line.passphrase_file))
    done = subprocess.run([*IMPRINT, *words, *secrets, *passphrase], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "station").is_dir()
    assert ask(service, "officer", "account", "suspend", "bench-9", "--reason", "lost")["state"] == "suspended"
    assert ask(service, "owner", "account", "resume", "bench-9", "--reason", "found")["state"] == "active"
    code, error = refused(service, "owner", "account", "suspend", "the-owner", "--reason", "tired")
    assert (code, error["rule"]) == (4, "wrong-state")


@pytest.mark.parametrize(
    ("role", "words", "operation"),
    [
        ("officer", ("lot", "close", LOT), "close-lot"),
        ("officer", ("lot", "refund", LOT, "--count", "1", "--reason", "x"), "refund-units"),
        ("officer", ("account", "invite", "eve", "--role", "owner"), "invite-account"),
        ("owner", ("unit", "clear", "SN-000001", "--reason", "x"), "clear-unit"),
        ("operator", ("lot", "close", LOT), "close-lot"),
        ("operator", ("unit", "revoke", "SN-000001", "--reason", "superseded"), "revoke-unit"),
        ("operator", ("account", "list"), "read-accounts"),
        ("auditor", ("crl", "sign"), "sign-crl"),
        ("auditor", ("unit", "scrap", "SN-000001", "--reason", "x"), "scrap-unit"),
    ],
)
def test_each_role_is_refused_what_it_may_not(
    service: Service, role: str, words: tuple[str, ...], operation: str
) -> None:
    code, error = refused(service, role, *words)
    assert (code, error["kind"]) == (12, "AccessError")
    assert f"the role {role} may not {operation}" in error["what"]


# --- what goes wrong ---


@pytest.mark.parametrize(
    "words",
    [
        ("serve",),
        ("ledger", "verify"),
        ("ledger", "checkpoint"),
        ("lot", "export", LOT, "out"),
        ("release", "show", "--product", "lamp", "--version", "1.0.0"),
        ("unit", "list"),
        ("record", "show", "SN-000001"),
        ("backup", "copy"),
    ],
)
def test_what_needs_the_workspace_says_so(service: Service, words: tuple[str, ...]) -> None:
    takes_passphrase = words in {("serve",), ("ledger", "checkpoint"), ("unit", "list")}
    secret = ("--passphrase-file", str(service.line.passphrase_file)) if takes_passphrase else ()
    folder = service.line.folder / "the-owner"
    done = subprocess.run(
        [*IMPRINT, "-C", str(folder), *words, *secret, "--json"], capture_output=True, text=True, check=False
    )
    error = json.loads(done.stderr)["error"]
    assert (done.returncode, error["kind"], error["subject"]) == (6, "WorkspaceError", str(folder))
    assert error["next_step"]


def test_a_wrong_passphrase_is_that_of_the_key(service: Service, tmp_path: Path) -> None:
    give(tmp_path / "wrong", "not the passphrase at all")
    folder = service.line.folder / "the-owner"
    done = subprocess.run(
        [*IMPRINT, "-C", str(folder), "lot", "list", "--passphrase-file", str(tmp_path / "wrong"), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    error = json.loads(done.stderr)["error"]
    assert (done.returncode, error["subject"]) == (7, str(folder / "key.pem"))


def test_there_is_no_such_thing_from_afar_either(service: Service) -> None:
    for words in (("lot", "show", "nope"), ("unit", "show", "nope"), ("product", "show", "nope")):
        code, error = refused(service, "auditor", *words)
        here = subprocess.run(
            [*IMPRINT, "-C", str(service.line.workspace), *words, "--json"], capture_output=True, text=True, check=False
        )
        assert (code, error) == (4, json.loads(here.stderr)["error"])


def test_what_is_not_taken_is_not_kept(service: Service) -> None:
    create = ("--product", "lamp", "--count", "0", "--release", "1.0.0", "--diagnostic", "0.9.0")
    requests = service.line.folder / "the-owner" / "requests"
    before = set(requests.glob("*"))
    code, error = refused(service, "owner", "lot", "create", "L-none", *create)
    assert (code, error["kind"]) == (3, "FormatError")
    assert "count" in error["what"]
    assert set(requests.glob("*")) == before


def test_the_doctor_knows_an_enrolled_folder(service: Service) -> None:
    done = subprocess.run(
        [*IMPRINT, "-C", str(service.line.folder / "the-owner"), "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = {check["check"]: check["found"] for check in json.loads(done.stdout)["checks"]}
    assert found["enrolled folder"] == f"the-owner (owner) at {service.url}"


# --- exactly once ---


def committed(line: Line) -> int:
    with open_reader(line.workspace).store.reading() as store:
        return store.size()


def deadly_wire(bound: socket.socket, service: Service, *, with_answer: bool) -> None:
    """Carries one connection to the service until a decision is durable; then the service dies by ``kill -9``: without
    its answer, or, ``with_answer``, when the client has it and asks the next thing."""
    client, _ = bound.accept()
    server = socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])))
    flights, size = 0, committed(service.line)
    with client, server:
        while True:
            ready, _, _ = select.select([client, server], [], [], 0.01)
            is_decided = committed(service.line) > size
            if is_decided and (client in ready if with_answer else True):
                service.process.kill()
                service.process.wait()
                return
            for end in ready:
                data = end.recv(1 << 16)
                if end is client:
                    server.sendall(data)
                    flights += 1  # the first is the hello of TLS, and the handshake's answer must come back
                elif flights < 2 or with_answer:
                    client.sendall(data)


def through(folder: Path, port: int) -> str:
    """Have the folder's owner ask at another port; what the settings said before."""
    settings = folder / "enrolled.toml"
    before = settings.read_text()
    settings.write_text(re.sub(r"localhost:\d+", f"localhost:{port}", before))
    return before


def losing(service: Service, folder: Path, *words: str, with_answer: bool = False) -> dict[str, Any]:
    """A command whose answer is lost, though it is decided; the error that it ends with. The service is dead then."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        wire = threading.Thread(target=deadly_wire, args=(bound, service), kwargs={"with_answer": with_answer})
        wire.start()
        settings = through(folder, bound.getsockname()[1])
        lost = run(service.line, folder, *words, "--json")
        wire.join(PATIENCE_S)
    (folder / "enrolled.toml").write_text(settings)
    assert (lost.returncode, lost.stdout) == (9, "")
    error: dict[str, Any] = json.loads(lost.stderr)["error"]
    assert error["kind"] == "Unreachable"
    return error


def asked(line: Line, folder: Path, *words: str) -> dict[str, Any]:
    """What a command in an enrolled folder says that must succeed."""
    done = run(line, folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def kept(folder: Path) -> int:
    """How many requests wait for their answers in an enrolled folder."""
    return len(list((folder / "requests").glob("*")))


def state_of(line: Line, name: str) -> str:
    accounts = command_here(line, "account", "list")["accounts"]
    return next(str(account["state"]) for account in accounts if account["name"] == name)


def quarantined_units(line: Line, count: int) -> list[str]:
    """A lot of so many units that a station has given up, all of which may be refunded; their serial numbers."""
    with open_platform(line.workspace, lambda: PASSPHRASE) as platform:
        recipe = (SHIPPED / "typical.yaml").read_text()
        releases = {"firmware": "1.0.0+0", "diagnostic": "0.9.0+0"}
        pinned = {"product": "lamp", "recipe": recipe, "recipe_name": "typical.yaml", **releases}
        platform.command(CreateLot(lot="L-back", count=count, refunds_at_most=count, **pinned))
        station = platform.station("bench-1")
        for number in range(count):
            board = f"{number:016x}"
            claim = ClaimUnit(lot="L-back", run="run", hardware_id=board)
            claimed = asyncio.run(station.ask(f"claim-{number}", claim)).result
            assert isinstance(claimed, Claimed)
            given_up = QuarantineUnit(lot="L-back", hardware_id=board, fence=claimed.fence, reason="burnt")
            asyncio.run(station.ask(f"give-up-{number}", given_up))
    return [unit["serial"] for unit in command_here(line, "unit", "list", "--lot", "L-back")["units"]]


@pytest.mark.parametrize("with_answer", [False, True])
def test_what_gives_is_decided_once_however_often_it_is_asked(tmp_path: Path, *, with_answer: bool) -> None:
    line, ports = make_line(tmp_path, count=2), free_ports(2)
    for serial in quarantined_units(line, 3):
        subprocess.run(line.command("unit", "scrap", serial, "--reason", "burnt"), check=True, capture_output=True)
    refund = ("lot", "refund", "L-back", "--count", "1", "--reason", "I have the board")
    with serving(line, ports=ports) as service:
        folder = service.enrol("otto", "owner")
        error = losing(service, folder, *refund, with_answer=with_answer)
    assert "run the same command again" in error["next_step"]
    (entry,) = entries(line, "lot.refunded")
    assert kept(folder) == 1
    away = run(line, folder, *refund, "--json")
    assert (away.returncode, json.loads(away.stderr)["error"]["kind"]) == (9, "Unreachable")
    with serving(line, ports=ports):
        again = asked(line, folder, *refund)
        assert (again["refunded"], again["asked_before"], again["decided"]) == (1, True, entry["time"])
        assert kept(folder) == 0
        once_more = asked(line, folder, *refund)
        assert (once_more["refunded"], "asked_before" in once_more) == (2, False)
    assert len(entries(line, "lot.refunded")) == 2


def test_a_refusal_that_was_lost_is_not_the_answer_for_ever(tmp_path: Path) -> None:
    line, ports = make_line(tmp_path, count=2), free_ports(2)
    (serial,) = quarantined_units(line, 1)
    refund = ("lot", "refund", "L-back", "--count", "1", "--reason", "I have the board")
    with serving(line, ports=ports) as service:
        folder = service.enrol("otto", "owner")
        losing(service, folder, *refund)
    assert entries(line, "lot.refunded") == [], "it was refused: nothing is scrapped"
    with serving(line, ports=ports):
        subprocess.run(line.command("unit", "scrap", serial, "--reason", "burnt"), check=True, capture_output=True)
        again = asked(line, folder, *refund)
        assert (again["refunded"], "asked_before" in again, kept(folder)) == (1, False, 0)


def test_what_takes_away_is_done_when_its_command_says_so(tmp_path: Path) -> None:
    line, ports = make_line(tmp_path, count=2), free_ports(2)
    suspend = ("account", "suspend", "bench-1", "--reason", "stolen")
    with serving(line, ports=ports) as service:
        service.enrol("bench-1")
        folder = service.enrol("olga", "officer")
        error = losing(service, folder, *suspend)
    assert "run the same command again" in error["next_step"]
    assert (state_of(line, "bench-1"), kept(folder)) == ("suspended", 0)
    with serving(line, ports=ports):
        resume = line.command("account", "resume", "bench-1", "--reason", "found")
        subprocess.run(resume, check=True, capture_output=True, timeout=PATIENCE_S)
        assert asked(line, folder, *suspend) == {"name": "bench-1", "state": "suspended"}
        assert state_of(line, "bench-1") == "suspended"
        third = run(line, folder, *suspend, "--json")
        assert (third.returncode, json.loads(third.stderr)["error"]["rule"]) == (4, "wrong-state")


def test_what_was_taken_away_since_is_not_given_back_by_an_earlier_answer(tmp_path: Path) -> None:
    line, ports = make_line(tmp_path, count=2), free_ports(2)
    suspend = line.command("account", "suspend", "bench-1", "--reason", "stolen")
    resume = ("account", "resume", "bench-1", "--reason", "found")
    with serving(line, ports=ports) as service:
        service.enrol("bench-1")
        folder = service.enrol("otto", "owner")
        subprocess.run(suspend, check=True, capture_output=True, timeout=PATIENCE_S)
        losing(service, folder, *resume)
    assert state_of(line, "bench-1") == "active"
    with serving(line, ports=ports):
        subprocess.run(suspend, check=True, capture_output=True, timeout=PATIENCE_S)
        again = run(line, folder, *resume)
        (entry,) = entries(line, "account.resumed")
        assert again.returncode == 0
        assert f"decided once, at {entry['time']}" in again.stderr
        assert "run the command again" in again.stderr
        assert state_of(line, "bench-1") == "suspended"
        assert asked(line, folder, *resume) == {"name": "bench-1", "state": "active"}
        assert state_of(line, "bench-1") == "active"


def test_a_list_is_signed_whenever_it_is_asked_for(tmp_path: Path) -> None:
    line, ports = make_line(tmp_path, count=2), free_ports(2)
    with serving(line, ports=ports) as service:
        folder = service.enrol("olga", "officer")
        losing(service, folder, "crl", "sign", "--days", "7")
    assert len(entries(line, "crl.signed")) == 1
    with serving(line, ports=ports):
        assert asked(line, folder, "crl", "sign", "--days", "7")["number"] == 2
    assert len(entries(line, "crl.signed")) == 2
