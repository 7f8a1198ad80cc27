"""The SMP server around the commands: versions, errors, hostile requests, OS and settings groups."""

from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from smp import os_management, settings_management
from smp.error import MGMT_ERR
from smp.header import OP, Header
from virtual_bench import ask, image, install, new_unit

from imprint.formats import provisioning_group as group
from imprint.virtual import smp_server
from imprint.virtual.framing import BUFFER_SIZE, Message
from imprint.virtual.unit import Unit


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    fresh = new_unit(tmp_path)
    install(fresh, image("1.0.0", 1))
    return fresh


def raw(group_id: int, command: int, body: bytes, *, operation: int = 0, version: int = 1, sequence: int = 9) -> bytes:
    head = bytes([version << 3 | operation, 0]) + len(body).to_bytes(2, "big") + group_id.to_bytes(2, "big")
    return head + bytes([sequence, command]) + body


def answered(unit: Unit, data: bytes) -> tuple[int, dict[str, Any]]:
    answer = smp_server.answer(unit, Message(data=data))
    assert answer is not None
    assert answer[4:8] == data[4:8]
    fields: dict[str, Any] = cbor2.loads(answer[8:])
    return answer[0], fields


def test_echo_parameters_and_reset(unit: Unit) -> None:
    assert ask(unit, os_management.EchoWriteRequest(d="gruß")) == {"r": "gruß"}
    assert ask(unit, os_management.MCUMgrParametersReadRequest()) == {"buf_size": BUFFER_SIZE, "buf_count": 1}
    boots = unit.silicon.counters.boots
    assert ask(unit, os_management.ResetWriteRequest()) == {}
    assert unit.silicon.counters.boots == boots + 1


def test_settings_are_kept_and_missing_ones_said(unit: Unit) -> None:
    read = settings_management.ReadSettingRequest(name="net/mac")
    assert ask(unit, read) == {"err": {"group": 3, "rc": 3}}
    assert ask(unit, settings_management.WriteSettingRequest(name="net/mac", val=b"\1\2\3")) == {}
    assert ask(unit, read) == {"val": b"\1\2\3"}
    assert ask(unit, settings_management.ReadSettingRequest(name="net/mac", max_size=2)) == {"val": b"\1\2"}
    assert ask(unit, settings_management.WriteSettingRequest(name="n" * 65, val=b"")) == {"err": {"group": 3, "rc": 2}}
    assert ask(unit, settings_management.WriteSettingRequest(name="n", val=bytes(257))) == {"rc": MGMT_ERR.EMSGSIZE}
    assert ask(unit, settings_management.ReadSettingRequest(name="net/mac", max_size=-1)) == {"rc": MGMT_ERR.EINVAL}


def test_settings_are_not_without_bound(unit: Unit) -> None:
    for number in range(64):
        assert ask(unit, settings_management.WriteSettingRequest(name=f"n{number}", val=b"x")) == {}
    assert ask(unit, settings_management.WriteSettingRequest(name="more", val=b"x")) == {"rc": MGMT_ERR.ENOMEM}
    assert ask(unit, settings_management.WriteSettingRequest(name="n0", val=b"y")) == {}


def test_the_rom_has_no_settings(tmp_path: Path) -> None:
    read = settings_management.ReadSettingRequest(name="x")
    assert ask(new_unit(tmp_path), read) == {"rc": MGMT_ERR.ENOTSUP}


def test_errors_have_the_form_of_the_requests_version(unit: Unit) -> None:
    no_key = (group.GROUP_ID, group.Command.KEY, b"\xa0")
    assert answered(unit, raw(*no_key, version=1)) == (0b01001, {"err": {"group": 73, "rc": 2}})
    assert answered(unit, raw(*no_key, version=0)) == (0b00001, {"rc": int(MGMT_ERR.ENOENT)})
    assert answered(unit, raw(1, 5, cbor2.dumps({"slot": 7}), operation=2, version=0)) == (3, {"rc": 3})


def test_answers_have_the_requests_version(unit: Unit) -> None:
    for version in (0, 1):
        first, fields = answered(unit, raw(0, 6, b"\xa0", version=version))
        assert first == version << 3 | OP.READ_RSP
        assert fields["buf_size"] == BUFFER_SIZE


def test_an_unknown_version_is_refused_in_one_that_is_known(unit: Unit) -> None:
    assert answered(unit, raw(0, 6, b"\xa0", version=2)) == (0b01001, {"rc": int(MGMT_ERR.UNSUPPORTED_TOO_NEW)})


@pytest.mark.parametrize("key", [(0, 0, 0), (2, 0, 6), (0, 99, 0), (0, 73, 9), (0, 8, 0), (2, 73, 0)])
def test_unknown_commands_are_not_supported(unit: Unit, key: tuple[int, int, int]) -> None:
    operation, group_id, command = key
    assert answered(unit, raw(group_id, command, b"\xa0", operation=operation))[1] == {"rc": int(MGMT_ERR.ENOTSUP)}


def test_responses_are_not_answered(unit: Unit) -> None:
    for operation in (1, 3, 4, 7):
        assert smp_server.answer(unit, Message(data=raw(0, 0, b"\xa0", operation=operation))) is None


def test_a_message_that_was_too_large_is_told(unit: Unit) -> None:
    head = raw(1, 1, b"", operation=2)
    answer = smp_server.answer(unit, Message(data=head, is_whole=False))
    assert answer is not None
    assert Header.loads(answer[:8]).sequence == 9
    assert cbor2.loads(answer[8:]) == {"rc": int(MGMT_ERR.EMSGSIZE)}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80",
        b"\xff",
        b"\xa1",
        b"\xa1\x01\x02",
        b"\x00",
        b"\xa1\x61d\x01",
        b"\xa1fheader\x01",
        b"\xa1gversion\x01",
    ],
)
def test_bodies_that_do_not_fit_are_invalid(unit: Unit, body: bytes) -> None:
    assert answered(unit, raw(0, 0, body, operation=2))[1] == {"rc": int(MGMT_ERR.EINVAL)}


def test_a_length_that_lies_is_invalid(unit: Unit) -> None:
    data = bytearray(raw(0, 6, b"\xa0"))
    data[3] = 2
    assert answered(unit, bytes(data))[1] == {"rc": int(MGMT_ERR.EINVAL)}


fields = st.dictionaries(
    st.sampled_from(
        ["off", "len", "data", "alg", "nonce", "pub", "level", "image", "sha", "hash", "confirm", "slot", "d"]
    ),
    st.one_of(
        st.integers(-3, 5000), st.binary(max_size=70), st.booleans(), st.none(), st.text(max_size=5), st.floats()
    ),
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 2]), st.sampled_from([0, 1, 3, 73]), st.integers(0, 10), st.one_of(fields, st.binary())
        ),
        max_size=8,
    )
)
def test_hostile_requests_are_answered(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[int, int, int, Any]]
) -> None:
    unit = new_unit(tmp_path_factory.mktemp("unit"))
    install(unit, image("1.0.0", 1, size=100))
    for operation, group_id, command, content in requests:
        body = content if isinstance(content, bytes) else cbor2.dumps(content)
        answered(unit, raw(group_id, command, body, operation=operation))
    assert ask(unit, os_management.EchoWriteRequest(d="alive")) == {"r": "alive"}
