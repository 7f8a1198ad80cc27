"""What boots: the decisions, and that no loss of power in an upgrade leaves a unit without an image."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_bench import OTHER_KEY, SLOT_SIZE, image, spki

from imprint.virtual.boot_rom import Boot, boot
from imprint.virtual.flash import Flash, PowerLost, Supply
from imprint.virtual.slots import Slot, Slots

OLD = image("1.0.0", 3)
NEW = image("2.0.0", 4)

Loader = Callable[[Slots], Boot]
fused: Loader = partial(boot, boot_key=spki(), stored_counter=3)
unfused: Loader = partial(boot, boot_key=None, stored_counter=3)


def flash_with(primary: bytes = b"", secondary: bytes = b"", *, pending: bool = True) -> tuple[Slots, Supply]:
    supply = Supply()
    slots = Slots(Flash(bytearray(b"\xff" * 2 * SLOT_SIZE), supply))
    slots.write(Slot.PRIMARY, 0, primary)
    slots.write(Slot.SECONDARY, 0, secondary)
    if pending:
        assert slots.ask_for_upgrade(permanent=False)
    return slots, supply


def version_of(ended: Boot) -> str:
    return str(ended.image.version) if ended.image else "none"


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def test_an_empty_unit_stays_in_its_rom() -> None:
    slots, _ = flash_with(pending=False)
    assert fused(slots) == Boot(image=None, security_counter=3, refusal="")


def test_a_marked_image_replaces_the_old_one_and_raises_the_counter() -> None:
    slots, _ = flash_with(OLD, NEW)
    ended = fused(slots)
    assert version_of(ended) == "2.0.0+0"
    assert ended.security_counter == 4
    assert ended.refusal == ""
    assert slots.read(Slot.PRIMARY, len(NEW)) == NEW
    assert slots.flash.is_erased(SLOT_SIZE, SLOT_SIZE)
    assert version_of(fused(slots)) == "2.0.0+0"


def test_an_image_that_is_not_marked_is_left_alone() -> None:
    slots, _ = flash_with(OLD, NEW, pending=False)
    assert version_of(fused(slots)) == "1.0.0+0"
    assert slots.read(Slot.SECONDARY, len(NEW)) == NEW


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (flipped(NEW, 100), "secondary image: the hash does not match"),
        (flipped(NEW, len(NEW) - 1), "secondary image: no valid signature by the boot key"),
        (image("2.0.0", 4, key=OTHER_KEY), "secondary image: no valid signature by the boot key"),
        (image("9.0.0", 2), "secondary image: security counter 2 is below the stored 3"),
        (b"not an image, though long enough for a header", "secondary image: the magic is"),
    ],
)
def test_what_fails_a_check_is_erased_whole_and_the_old_image_boots(candidate: bytes, why: str) -> None:
    slots, _ = flash_with(OLD, candidate)
    ended = fused(slots)
    assert version_of(ended) == "1.0.0+0"
    assert ended.refusal.startswith(why)
    assert ended.security_counter == 3
    assert slots.flash.is_erased(SLOT_SIZE, SLOT_SIZE)
    assert fused(slots).refusal == ""


def test_a_primary_image_that_fails_a_check_does_not_boot() -> None:
    slots, _ = flash_with(flipped(OLD, 200), pending=False)
    ended = fused(slots)
    assert ended.image is None
    assert ended.refusal == "primary image: the hash does not match"


def test_without_a_boot_key_any_whole_image_boots_and_no_counter_rises() -> None:
    slots, _ = flash_with(b"", image("1.0.0", 9, key=OTHER_KEY))
    ended = unfused(slots)
    assert version_of(ended) == "1.0.0+0"
    assert ended.security_counter == 3
    slots, _ = flash_with(flipped(OLD, 100), pending=False)
    assert unfused(slots).image is None


def test_an_image_that_reaches_into_the_trailer_is_refused() -> None:
    overhead = len(image("1.0.0", 3, size=5)) - 5
    too_long = image("1.0.0", 3, size=SLOT_SIZE - 48 - overhead + 14)
    slots, _ = flash_with(OLD)
    slots.flash.erase(SLOT_SIZE, SLOT_SIZE)
    slots.flash.write(SLOT_SIZE, too_long + b"\xff" * (-len(too_long) % 8))
    assert slots.ask_for_upgrade(permanent=False)
    ended = fused(slots)
    assert version_of(ended) == "1.0.0+0"
    assert "do not fit" in ended.refusal
    with pytest.raises(ValueError, match="trailer"):
        slots.write(Slot.SECONDARY, 0, b"x" * (slots.largest_image + 1))


def sweep(loader: Loader, slots_before: Callable[[], tuple[Slots, Supply]]) -> list[str]:
    """Lose power before each flash operation of a boot in turn, boot again, and note what runs."""
    slots, supply = slots_before()
    supply.lasts = most = 1_000_000
    loader(slots)
    operations = most - (supply.lasts or 0)
    assert operations > 100
    results = []
    for lasts in range(operations):
        slots, supply = slots_before()
        supply.lasts = lasts
        with pytest.raises(PowerLost):
            loader(slots)
        supply.lasts = None
        results.append(version_of(loader(slots)))
        assert version_of(loader(slots)) == results[-1]
    return results


def test_power_lost_anywhere_in_an_upgrade_ends_with_the_new_image() -> None:
    assert set(sweep(fused, lambda: flash_with(OLD, NEW))) == {"2.0.0+0"}


def test_power_lost_anywhere_in_a_refusal_ends_with_the_old_image() -> None:
    """Here only the erasure counts: two halves of each block."""
    bad = flipped(NEW, 100)
    for lasts in range(2 * SLOT_SIZE // 4096):
        slots, supply = flash_with(OLD, bad)
        supply.lasts = lasts
        with pytest.raises(PowerLost):
            fused(slots)
        supply.lasts = None
        assert version_of(fused(slots)) == "1.0.0+0"
        assert slots.flash.is_erased(SLOT_SIZE, SLOT_SIZE)


def test_the_sweep_catches_a_loader_that_forgets_the_new_image_too_early() -> None:
    def hasty(slots: Slots) -> Boot:
        if slots.is_pending:
            data = slots.read(Slot.SECONDARY)
            slots.erase(Slot.SECONDARY)
            slots.erase(Slot.PRIMARY)
            slots.write(Slot.PRIMARY, 0, data.rstrip(b"\xff"))
        return fused(slots)

    assert "none" in sweep(hasty, lambda: flash_with(OLD, NEW))


@given(st.lists(st.integers(0, 200), max_size=6))
def test_power_lost_again_and_again_ends_with_the_new_image(losses: list[int]) -> None:
    slots, supply = flash_with(OLD, NEW)
    for lasts in losses:
        supply.lasts = lasts
        try:
            assert version_of(fused(slots)) == "2.0.0+0"
        except PowerLost:
            continue
    supply.lasts = None
    assert version_of(fused(slots)) == "2.0.0+0"


def test_power_lost_while_an_upgrade_is_asked_for_leaves_the_old_or_the_new_image() -> None:
    seen = set()
    for lasts in range(4):
        slots, supply = flash_with(OLD, NEW, pending=False)
        supply.lasts = lasts
        try:
            slots.ask_for_upgrade(permanent=True)
        except PowerLost:
            supply.lasts = None
        supply.lasts = None
        seen.add(version_of(fused(slots)))
    assert seen == {"1.0.0+0", "2.0.0+0"}


def test_half_a_trailer_costs_the_slot() -> None:
    slots, supply = flash_with(OLD, NEW, pending=False)
    supply.lasts = 1
    with pytest.raises(PowerLost):
        slots.ask_for_upgrade(permanent=False)
    supply.lasts = None
    assert not slots.ask_for_upgrade(permanent=False)
    assert slots.flash.is_erased(SLOT_SIZE, SLOT_SIZE)
    slots.write(Slot.SECONDARY, 0, NEW)
    assert slots.ask_for_upgrade(permanent=False)
    assert version_of(fused(slots)) == "2.0.0+0"
