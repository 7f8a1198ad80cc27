"""The service as others see it: curl, openssl, a client of its own for each role."""

import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from imprint.https import client_tls
from imprint.protocol.codec import encode_intention
from imprint.protocol.intentions import ClaimUnit
from imprint.service.permissions import PERMISSIONS
from production_line import LOT, PASSPHRASE, make_line
from service_line import Service, command, enrolling, give, serving

PAGE = Path(__file__).parents[2] / "docs" / "formats" / "service.md"
ROLES = ("owner", "officer", "operator", "station", "auditor")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    line = make_line(tmp_path_factory.mktemp("service"), count=50)
    with serving(line) as running:
        for role in ROLES:
            running.enrol(f"the-{role}", role)
        yield running


def folder_of(service: Service, role: str) -> Path:
    return service.line.folder / f"the-{role}"


def curl(service: Service, role: str | None, *words: str) -> subprocess.CompletedProcess[str]:
    """curl with the certificate of a role, or none. The key's passphrase goes through its configuration on stdin."""
    trusted = folder_of(service, "owner")
    options = ["curl", "-sS", "-m", "10", "--cacert", str(trusted / "access-ca.pem"), "-K", "-", "-w", "%{http_code}"]
    secret = ""
    if role is not None:
        folder = folder_of(service, role)
        options += ["--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem")]
        secret = f'pass = "{PASSPHRASE.decode()}"\n'
    return subprocess.run([*options, *words], input=secret, capture_output=True, text=True, check=False)


# --- who gets in ---


def test_a_client_without_a_certificate_gets_nothing(service: Service) -> None:
    done = curl(service, None, f"{service.url}/v1/health")
    assert done.returncode != 0
    assert done.stdout == "000"


def test_tls_1_2_is_refused(service: Service) -> None:
    done = curl(service, "owner", "--tls-max", "1.2", f"{service.url}/v1/health")
    assert (done.returncode, done.stdout) == (35, "000")
    for port in (service.url, service.enrol_url):
        asked = subprocess.run(
            ["openssl", "s_client", "-connect", port.removeprefix("https://"), "-tls1_2"],
            input="",
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.returncode != 0
        assert "Cipher is (NONE)" in asked.stdout


def test_a_certificate_of_another_ca_gets_nothing(service: Service, tmp_path: Path) -> None:
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem"), "-subj", "/CN=the-owner"]
    subprocess.run([*make, *files], check=True, capture_output=True)
    own = ["--cert", str(tmp_path / "cert.pem"), "--key", str(tmp_path / "key.pem")]
    assert curl(service, None, *own, f"{service.url}/v1/health").stdout == "000"


def test_a_units_identity_is_no_account(service: Service) -> None:
    """The device CA's certificates do not open this door: it is another CA."""
    certificate = service.line.workspace / "certs" / "access-ca.pem"
    for name in ("ca.pem", "root.pem"):
        issued = subprocess.run(
            ["openssl", "verify", "-CAfile", str(certificate), str(certificate.with_name(name))],
            capture_output=True,
            check=False,
        )
        assert issued.returncode != 0


def test_the_certificates_are_what_tls_asks_for(service: Service) -> None:
    folder = folder_of(service, "station")
    checks = {"sslclient": folder / "cert.pem", "sslserver": service.line.workspace / "certs" / "service.pem"}
    trusted = ("-CAfile", str(folder / "access-ca.pem"))
    for purpose, certificate in checks.items():
        done = subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", purpose, *trusted, str(certificate)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        other = "sslserver" if purpose == "sslclient" else "sslclient"
        wrong = subprocess.run(
            ["openssl", "verify", "-purpose", other, *trusted, str(certificate)],
            capture_output=True,
            check=False,
        )
        assert wrong.returncode != 0, "one certificate is for one purpose"


# --- who may do what ---


def table() -> dict[tuple[str, str], tuple[str, set[str]]]:
    """The page's table: (method, path) -> operation and the roles that may."""
    found = {}
    for line in PAGE.read_text().splitlines():
        row = re.fullmatch(r"\| ([a-z-]+) \| `([A-Z]+) ([^`]+)` \|(.*)\|", line)
        if row:
            marks = [mark.strip() for mark in row[4].split("|")]
            may = {role for role, mark in zip(ROLES, marks, strict=True) if mark == "x"}
            found[row[2], row[3]] = (row[1], may)
    return found


def test_the_page_lists_every_route_and_no_other(service: Service) -> None:
    with service.client(folder_of(service, "auditor")) as client:
        paths = client.get("/v1/openapi.json").json()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert served == set(table())
    assert {operation for operation, _ in table().values()} == set(PERMISSIONS)


@pytest.mark.parametrize("role", ROLES)
def test_each_route_for_each_role(service: Service, role: str) -> None:
    with service.client(folder_of(service, role)) as client:
        for (method, path), (operation, may) in table().items():
            where = path.format(request_id="x", lot=LOT, name="N", product="P", path="vkey", number="1f")
            response = client.request(method, where, content=b"{}" if method == "PUT" else None)
            told = f"{role}: {method} {path}: {response.status_code} {response.text[:200]}"
            if role in may:
                assert response.status_code in {200, 400, 404}, told
            else:
                assert response.status_code == 403, told
                assert f"the role {role} may not {operation}" in response.json()["title"], told


def test_a_station_on_an_officers_route(service: Service) -> None:
    body = json.dumps({"serial": "SN-000001", "reason": "?"})
    where = f"{service.url}/v1/commands/clear-unit/1"
    done = curl(service, "station", "-X", "PUT", "-d", body, where)
    assert done.stdout.endswith("403")
    assert curl(service, "officer", "-X", "PUT", "-d", body, where).stdout.endswith("200"), (
        "there is no such unit: decided"
    )


def test_a_suspended_station_gets_nothing_not_even_a_repeat(service: Service) -> None:
    folder = service.enrol("bench-suspended")
    claim = encode_intention(ClaimUnit(lot=LOT, run="r", hardware_id="00" * 8))
    with service.client(folder) as client:

        def ask() -> httpx.Response:
            return client.put("/v1/station/claim/r.claim", content=claim)

        first = ask()
        assert first.json()["result"]["kind"] == "claimed"
        assert ask().content == first.content
        command(service.line, "account", "suspend", "bench-suspended", "--reason", "stolen")
        assert (ask().status_code, client.get("/v1/health").status_code) == (403, 403)
        assert "suspended" in ask().json()["title"]
        command(service.line, "account", "resume", "bench-suspended", "--reason", "found")
        assert ask().content == first.content
        release = {"kind": "release", "lot": LOT, "hardware_id": "00" * 8, "fence": 1, "reason": "test"}
        assert client.put("/v1/station/release/r.release", json=release).json()["result"]["state"] == "released"


def test_request_ids_belong_to_their_account(service: Service) -> None:
    one, two = service.enrol("bench-a"), service.enrol("bench-b")
    bodies = [encode_intention(ClaimUnit(lot=LOT, run=f"r{n}", hardware_id=f"{n:016x}")) for n in (1, 2)]
    with service.client(one) as first, service.client(two) as second:
        answers = [
            client.put("/v1/station/claim/same", content=body).json()
            for client, body in zip((first, second), bodies, strict=True)
        ]
        assert [answer["result"]["kind"] for answer in answers] == ["claimed", "claimed"]
        spaced = json.dumps(json.loads(bodies[0]), indent=1, sort_keys=True)
        assert first.put("/v1/station/claim/same", content=spaced).json() == answers[0], "it says the same"
        conflict = first.put("/v1/station/claim/same", content=bodies[1]).json()["result"]
        assert (conflict["kind"], conflict["code"]) == ("refused", "request-conflict")


# --- enrolment ---


def test_an_invitation_is_good_for_one_enrolment(service: Service) -> None:
    folder = service.line.folder / "bench-once"
    give(folder.with_suffix(".invitation"), service.invite("bench-once", "station"))
    assert enrolling(service, folder).returncode == 0
    size = service_size(service)
    give(folder.with_name("bench-twice.invitation"), folder.with_suffix(".invitation").read_text().strip())
    again = enrolling(service, folder.with_name("bench-twice"))
    assert (again.returncode, json.loads(again.stderr)["error"]["kind"]) == (12, "AccessError")
    assert service_size(service) == size, "a stranger writes nothing into the ledger"
    with service.client(folder) as client:
        assert client.get("/v1/health").status_code == 200


def test_a_lost_reply_is_asked_for_again(service: Service) -> None:
    """Broken off after the authority decided: the same folder gets the same certificate."""
    folder = service.enrol("bench-lost")
    certificate = (folder / "cert.pem").read_bytes()
    for name in ("cert.pem", "enrolled.toml", "access-ca.pem"):
        (folder / name).unlink()
    done = enrolling(service, folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "cert.pem").read_bytes() == certificate


def test_a_new_certificate_ends_the_old_one(service: Service) -> None:
    folder = service.enrol("bench-renewed")
    newer = folder.with_name("bench-renewed-2")
    give(newer.with_suffix(".invitation"), service.invite("bench-renewed", "station"))
    with service.client(folder) as client:
        assert client.get("/v1/health").status_code == 200, "the old one is good until the new one is there"
        assert enrolling(service, newer).returncode == 0
        refused = client.get("/v1/health")
        assert (refused.status_code, "newer" in refused.json()["title"]) == (403, True)
    with service.client(newer) as client:
        assert client.get("/v1/health").status_code == 200


def test_an_authority_that_is_another_is_not_told_the_code(service: Service, tmp_path: Path) -> None:
    folder = tmp_path / "bench-x"
    name, code, _ = service.invite("bench-x", "station").split(":")
    give(folder.with_suffix(".invitation"), f"{name}:{code}:{'0' * 64}")
    done = enrolling(service, folder)
    assert (done.returncode, code in done.stderr) == (12, False)
    assert "not the authority" in done.stderr
    assert "POST" not in service.log.read_text()


def service_size(service: Service) -> int:
    with service.client(folder_of(service, "auditor")) as client:
        return int(client.get("/v1/health").json()["committed"])


# --- limits ---


def tls_to(service: Service, role: str = "station") -> ssl.SSLSocket:
    host, port = service.url.removeprefix("https://").split(":")
    plain = socket.create_connection((host, int(port)), timeout=60)
    return client_tls(folder_of(service, role), PASSPHRASE).wrap_socket(plain, server_hostname=host)


def test_a_body_of_a_gigabyte_is_not_read(service: Service) -> None:
    head = b"PUT /v1/station/claim/x HTTP/1.1\r\nhost: x\r\ncontent-length: 1073741824\r\n\r\n"
    with tls_to(service) as connection:
        connection.sendall(head)
        assert connection.recv(4000).startswith(b"HTTP/1.1 413")
    head = head.replace(b"content-length: 1073741824", b"transfer-encoding: chunked")
    with tls_to(service) as connection:
        connection.sendall(head)
        sent, answer = 0, b""
        connection.settimeout(0.02)
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        while not answer and sent < 1 << 26:
            try:
                sent += connection.send(chunk)
                answer = connection.recv(4000)
            except TimeoutError:
                continue
            except OSError:
                break
        assert sent < 1 << 24, "the end of it was never waited for"


def test_metrics_and_log_tell_numbers_and_no_secrets(service: Service) -> None:
    with service.client(folder_of(service, "operator")) as client:
        text = client.get("/v1/metrics").text
    assert 'imprint_requests_total{operation="read-metrics"' in text or "imprint_requests_total{" in text
    log = service.log.read_text()
    for line in log.splitlines():
        json.loads(line)
    assert PASSPHRASE.decode() not in log
    for invitation in service.line.folder.glob("*.invitation"):
        assert invitation.read_text().split(":")[1] not in log


@pytest.mark.parametrize(
    ("role", "path"), [("station", "/v1/station/claim/long"), ("owner", "/v1/commands/create-lot/long")]
)
def test_what_is_long_and_wrong_is_told_in_brief(service: Service, role: str, path: str) -> None:
    """An error that repeated it would not fit between the two processes, and end both."""
    long = "A" * 100_000
    with service.client(folder_of(service, role)) as client:
        for body in ({"kind": long}, {"kind": "claim", long: 1}, {"kind": "claim", "lot": long}, {long: long}, [long]):
            response = client.put(path, json=body)
            assert response.status_code == 400
            assert len(response.text) < 2000
        assert client.get("/v1/health").status_code == 200
