"""The pages for firmware engineers say what the code does."""

import base64
import re
from pathlib import Path
from typing import Any

from smp.error import MGMT_ERR
from smp.message import ReadRequest, ReadResponse, Request, Response, WriteRequest

from imprint.formats import bench_port
from imprint.formats import provisioning_group as group
from imprint.formats.provisioning_group import Command, ProvisioningErr, UnitStatement
from imprint.virtual import provisioning_commands
from imprint.virtual.fault import Faults, parse_fault
from imprint.virtual.refusal import Refusal

PAGES = Path(__file__).parents[3] / "docs" / "formats"
GROUP_PAGE = (PAGES / "provisioning-group.md").read_text()


def rows(page: str, columns: int) -> list[list[str]]:
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")
    ]
    return [row for row in found if len(row) == columns]


def blocks(page: str) -> list[str]:
    return re.findall(r"```text\n(.*?)```", page, re.DOTALL)


def fields_of(kind: type[Any]) -> set[str]:
    return {name for name in kind.model_fields if name not in ("header", "version", "sequence", "smp_data")}


def messages(base: type[Any]) -> dict[tuple[int, str], type[Any]]:
    kinds = [kind for kind in vars(group).values() if isinstance(kind, type) and issubclass(kind, base)]
    return {
        (int(kind._COMMAND_ID), "read" if issubclass(kind, ReadRequest | ReadResponse) else "write"): kind
        for kind in kinds
        if hasattr(kind, "_COMMAND_ID")
    }


def test_the_table_of_commands_is_that_of_the_code() -> None:
    documented = {
        (int(row[0]), row[2]): (
            row[1],
            set(re.findall(r"`(\w+)`", row[3])),
            set(re.findall(r"`(\w+)`", row[4])),
            row[5],
        )
        for row in rows(GROUP_PAGE, 6)
        if row[0].isdigit()
    }
    requests, responses = messages(Request), messages(Response)
    in_rom = {
        (int(route.request._COMMAND_ID), "write" if issubclass(route.request, WriteRequest) else "read")
        for route in provisioning_commands.ROUTES
        if route.in_rom
    }
    assert documented == {
        key: (Command(key[0]).name, fields_of(kind), fields_of(responses[key]), "yes" if key in in_rom else "")
        for key, kind in requests.items()
    }


def general_code(code: ProvisioningErr) -> str:
    number = Refusal(code).fields(version_2=False)["rc"]
    assert isinstance(number, int)
    return MGMT_ERR(number).name


def test_the_table_of_errors_is_that_of_the_code() -> None:
    documented = {(int(row[0]), row[1], row[3]) for row in rows(GROUP_PAGE, 4) if row[0].isdigit()}
    assert documented == {
        (int(code), code.name, general_code(code)) for code in ProvisioningErr if code is not ProvisioningErr.OK
    }


def test_the_examples_decode() -> None:
    request, answer, statement = blocks(GROUP_PAGE)
    header, line = request.splitlines()
    assert group.IdentifyRequest.loads(bytes.fromhex(header)).sequence == 7
    framed = re.search(r'"(.*)"', line)
    assert framed
    assert base64.b64decode(framed[1])[2:-2] == bytes.fromhex(header)
    assert group.IdentifyResponse.loads(bytes.fromhex(answer)).part == "acme-node"
    assert UnitStatement.decode(bytes.fromhex(statement)).version == "1.4.0+0"
    assert "imprint/unit-statement/v1" in GROUP_PAGE
    assert len(group.STATEMENT_CONTEXT) == 26


def test_the_statements_fields_are_in_the_order_of_their_encoding() -> None:
    documented = [row[0].strip("`") for row in rows(GROUP_PAGE, 3) if row[0].startswith("`")]
    sample = UnitStatement.decode(bytes.fromhex(blocks(GROUP_PAGE)[2])).encode()
    assert documented == sorted(documented, key=lambda name: sample.index(bytes([0x60 | len(name)]) + name.encode()))
    assert set(documented) == set(UnitStatement.__slots__)


def test_the_bench_ports_lines_parse() -> None:
    page = (PAGES / "bench-port.md").read_text()
    table = rows(page, 3)
    requests = [row[0].strip("`") for row in table if row[0].startswith("`")]
    assert [bench_port.parse_request(line.encode()) for line in requests] == list(bench_port.Request)
    replies = [row[1].strip("`") for row in table if row[1].startswith("`")]
    assert len(replies) == 5
    assert {type(bench_port.parse_reply(line.encode())) for line in replies} == {
        bench_port.PowerCycled,
        bench_port.Attached,
        bench_port.Locked,
        bench_port.Failed,
    }


def test_the_faults_are_those_of_the_command_line() -> None:
    table = rows((PAGES / "virtual-unit.md").read_text(), 2)
    kinds = [row[0] for row in table][[row[0] for row in table].index("kind") + 2 :]
    documented = [kind for cell in kinds for kind in re.findall(r"`([^`]+)`", cell)]
    for kind in documented:
        _, faults = parse_fault(f"0={re.sub('=[KMN]', '=3', kind)}")
        assert faults != Faults()
    assert len(documented) == 8
