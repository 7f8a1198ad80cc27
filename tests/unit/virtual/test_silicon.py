"""What a unit remembers: across restarts, and across the death of its process at any write."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from smp import image_management as smp_image
from smp import settings_management as smp_settings
from virtual_bench import ask, image, install, new_unit, spki, upload

from imprint.errors import StorageError
from imprint.formats import mcuboot
from imprint.formats import provisioning_group as group
from imprint.virtual import whole_file
from imprint.virtual.silicon import Silicon

OLD, NEW = image("1.0.0", 3), image("2.0.0", 4)
NAMES = ("mac", "cal/a", "cal/b")


def observed(unit: Any) -> dict[str, Any]:
    """All that a station can read, but for the count of boots."""
    identity = ask(unit, group.IdentifyRequest())
    found: dict[str, Any] = {"hw": identity["hw"], "mode": identity["mode"], "debug": unit.silicon.fuses.debug}
    found["boot_key"] = ask(unit, group.BootKeyReadRequest())
    found["key"] = ask(unit, group.KeyReadRequest())
    found["images"] = ask(unit, smp_image.ImageStatesReadRequest())
    found["settings"] = [ask(unit, smp_settings.ReadSettingRequest(name=name)) for name in NAMES]
    counters = ask(unit, group.CountersRequest())
    found["counters"] = [counters.get("monotonic"), counters.get("security")]
    return found


def test_state_survives_restarts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever was done: a unit that is switched off and served again from its folder is the same unit."""

    class Restarts(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.folder = tmp_path_factory.mktemp("unit")
            self.unit = new_unit(self.folder)
            self.boots = 1

        @rule(data=st.sampled_from([OLD, NEW]))
        def run_image(self, data: bytes) -> None:
            install(self.unit, data)

        @rule(data=st.sampled_from([OLD, NEW]))
        def only_upload(self, data: bytes) -> None:
            upload(self.unit, data)

        @rule(algorithm=st.sampled_from(group.KeyAlgorithm))
        def make_key(self, algorithm: int) -> None:
            ask(self.unit, group.KeyWriteRequest(alg=algorithm))

        @rule()
        def burn_boot_key(self) -> None:
            ask(self.unit, group.BootKeyWriteRequest(pub=spki()))
            self.unit.power_cycle()  # the next boot is the first that verifies

        @rule(level=st.sampled_from([1, 2]))
        def raise_debug(self, level: int) -> None:
            ask(self.unit, group.DebugWriteRequest(level=level))

        @rule(name=st.sampled_from(NAMES), value=st.binary(max_size=20))
        def set_value(self, name: str, value: bytes) -> None:
            ask(self.unit, smp_settings.WriteSettingRequest(name=name, val=value))

        @rule()
        def prove(self) -> None:
            ask(self.unit, group.ProveRequest(nonce=bytes(16)))

        @invariant()
        def is_the_same_after_a_restart(self) -> None:
            before = observed(self.unit)
            boots = ask(self.unit, group.IdentifyRequest())["boots"]
            self.unit = new_unit(self.folder)
            assert observed(self.unit) == before
            assert ask(self.unit, group.IdentifyRequest())["boots"] == boots + 1

    run_state_machine_as_test(
        Restarts,
        settings=settings(
            max_examples=15, stateful_step_count=10, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


@pytest.mark.parametrize("when", ["before the draft", "half the draft", "before the swap", "after the swap"])
@pytest.mark.parametrize(
    ("act", "read"),
    [
        (group.KeyWriteRequest(alg=0), group.KeyReadRequest()),
        (group.BootKeyWriteRequest(pub=spki()), group.BootKeyReadRequest()),
        (smp_settings.WriteSettingRequest(name="mac", val=b"1"), smp_settings.ReadSettingRequest(name="mac")),
    ],
    ids=["key", "boot key", "setting"],
)
def test_a_process_killed_in_a_write_leaves_the_old_or_the_new_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, act: Any, read: Any
) -> None:
    unit = new_unit(tmp_path)
    install(unit, OLD)
    before = ask(unit, read)
    monkeypatch.setattr(whole_file, "os", _DyingOs(when))
    monkeypatch.setattr(Path, "replace", _dying_replace(when))
    with pytest.raises(Killed):
        ask(unit, act)
    monkeypatch.undo()
    again = new_unit(tmp_path)
    after = ask(again, read)
    if when == "after the swap":
        assert after != before
    else:
        assert after == before
    assert "err" not in ask(again, act)


class _DyingOs:
    """``os`` for a process that dies at its first durable write."""

    O_WRONLY, O_CREAT, O_TRUNC = os.O_WRONLY, os.O_CREAT, os.O_TRUNC

    def __init__(self, when: str) -> None:
        self._when = when

    def open(self, path: Path, flags: int, mode: int) -> int:
        if self._when == "before the draft":
            raise Killed
        return os.open(path, flags, mode)

    def fdopen(self, descriptor: int, mode: str) -> Any:
        if self._when == "half the draft":
            os.write(descriptor, b"\0\0\0")
            os.close(descriptor)
            raise Killed
        return os.fdopen(descriptor, mode)


def _dying_replace(when: str) -> Callable[[Path, Path], Path]:
    def replace(draft: Path, target: Path) -> Path:
        if when == "after the swap":
            draft.rename(target)
        raise Killed

    return replace


@pytest.mark.parametrize("name", ["counters.cbor", "settings.cbor", "identity.key", "flash.bin"])
def test_files_that_are_not_whole_are_a_typed_error(tmp_path: Path, name: str) -> None:
    unit = new_unit(tmp_path)
    install(unit, OLD)
    ask(unit, group.KeyWriteRequest(alg=0))
    ask(unit, smp_settings.WriteSettingRequest(name="mac", val=b"1"))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:5])
    with pytest.raises(StorageError):
        Silicon(tmp_path, slot_size=3 * 4096)


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    unit = new_unit(tmp_path / "0")
    install(unit, OLD)
    ask(unit, group.KeyWriteRequest(alg=0))
    assert (tmp_path / "0").stat().st_mode & 0o077 == 0
    assert (tmp_path / "0" / "identity.key").stat().st_mode & 0o077 == 0
    assert mcuboot.parse((tmp_path / "0" / "flash.bin").read_bytes()).size == len(OLD)
