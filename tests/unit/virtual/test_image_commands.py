"""MCUmgr's image group: the upload protocol, and what marks an image for the next boot."""

from pathlib import Path

import pytest
from smp import image_management as smp_image
from smp.image_management import IMG_MGMT_ERR
from virtual_bench import OTHER_KEY, SLOT_SIZE, ask, image, install, new_unit, spki, upload

from imprint.encoding import sha256
from imprint.formats import mcuboot
from imprint.formats import provisioning_group as group
from imprint.virtual.fault import Faults
from imprint.virtual.flash import PowerLost
from imprint.virtual.unit import Unit

OLD = image("1.0.0", 3)
NEW = image("2.1.0+7", 4, size=5000)


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    """A unit with a fused boot key that runs OLD."""
    fresh = new_unit(tmp_path)
    ask(fresh, group.BootKeyWriteRequest(pub=spki()))
    install(fresh, OLD)
    return fresh


def refused(code: IMG_MGMT_ERR) -> dict[str, object]:
    return {"err": {"group": 1, "rc": int(code)}}


def first(data: bytes, piece: int = 500, **fields: object) -> smp_image.ImageUploadWriteRequest:
    return smp_image.ImageUploadWriteRequest(**{"off": 0, "data": data[:piece], "len": len(data), **fields})  # type: ignore[arg-type]


def state(slot: int, data: bytes, version: str, **flags: bool) -> dict[str, object]:
    none = dict.fromkeys(("pending", "confirmed", "active", "permanent"), False)
    return {"slot": slot, "version": version, "hash": mcuboot.parse(data).image_hash, "bootable": True} | none | flags


def running(unit: Unit) -> str:
    return str(unit.running.version) if unit.running else "none"


def test_an_upgrade_from_upload_to_boot(unit: Unit) -> None:
    before = state(0, OLD, "1.0.0", active=True, confirmed=True)
    assert ask(unit, smp_image.ImageStatesReadRequest()) == {"images": [before]}
    assert upload(unit, NEW) == {"off": len(NEW)}
    assert ask(unit, smp_image.ImageStatesReadRequest()) == {"images": [before, state(1, NEW, "2.1.0.7")]}
    mark = smp_image.ImageStatesWriteRequest(hash=mcuboot.parse(NEW).image_hash)
    assert ask(unit, mark) == {"images": [before, state(1, NEW, "2.1.0.7", pending=True)]}
    unit.reset()
    after = state(0, NEW, "2.1.0.7", active=True, confirmed=True)
    assert ask(unit, smp_image.ImageStatesReadRequest()) == {"images": [after]}


def test_an_image_that_is_not_marked_does_not_run(unit: Unit) -> None:
    upload(unit, NEW)
    unit.power_cycle()
    assert running(unit) == "1.0.0+0"


def test_every_piece_size_brings_the_same_bytes(unit: Unit) -> None:
    for piece in (32, 33, 39, 500, 1023, len(NEW)):
        assert upload(unit, NEW, piece=piece) == {"off": len(NEW)}
        assert unit.silicon.slots.flash.read(SLOT_SIZE, len(NEW)) == NEW
        assert unit.silicon.slots.flash.is_erased(SLOT_SIZE + 5400, SLOT_SIZE - 5400)


def test_the_units_hash_is_told_at_the_end(unit: Unit) -> None:
    ask(unit, first(NEW, sha=sha256(NEW)))
    rest = smp_image.ImageUploadWriteRequest(off=496, data=NEW[496:])
    assert ask(unit, rest) == {"off": len(NEW), "match": True}
    ask(unit, first(NEW, sha=bytes(32)))
    assert ask(unit, rest) == {"off": len(NEW), "match": False}


def test_a_broken_upload_of_the_same_image_goes_on_where_it_was(unit: Unit) -> None:
    begin = first(NEW, sha=sha256(NEW))
    assert ask(unit, begin) == {"off": 496}
    ask(unit, smp_image.ImageUploadWriteRequest(off=496, data=NEW[496:1200]))
    assert ask(unit, begin) == {"off": 1200}
    assert ask(unit, first(OLD, sha=sha256(OLD))) == {"off": 496}


def test_a_whole_image_sent_again_is_there_already_and_an_erased_one_is_not(unit: Unit) -> None:
    begin = first(NEW, len(NEW), sha=sha256(NEW))
    assert ask(unit, begin) == {"off": len(NEW), "match": True}
    assert ask(unit, begin) == {"off": len(NEW), "match": True}
    assert ask(unit, smp_image.ImageEraseRequest()) == {}
    assert ask(unit, first(NEW, sha=sha256(NEW))) == {"off": 496}


def test_pieces_at_another_offset_are_dropped_and_the_wanted_one_told(unit: Unit) -> None:
    assert ask(unit, smp_image.ImageUploadWriteRequest(off=496, data=NEW[496:900])) == {"off": 0}
    ask(unit, first(NEW))
    for offset in (8, 1000, 496 + 8):
        assert ask(unit, smp_image.ImageUploadWriteRequest(off=offset, data=b"wrong place")) == {"off": 496}
    assert ask(unit, smp_image.ImageUploadWriteRequest(off=496, data=NEW[496:])) == {"off": len(NEW)}
    assert ask(unit, smp_image.ImageUploadWriteRequest(off=496, data=NEW[496:])) == {"off": len(NEW)}


def test_a_reset_forgets_the_upload(unit: Unit) -> None:
    ask(unit, first(NEW, sha=sha256(NEW)))
    unit.reset()
    assert ask(unit, smp_image.ImageUploadWriteRequest(off=496, data=NEW[496:])) == {"off": 0}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (first(NEW, image=1), IMG_MGMT_ERR.INVALID_SLOT),
        (first(NEW, len=None), IMG_MGMT_ERR.INVALID_LENGTH),
        (first(NEW, 31), IMG_MGMT_ERR.INVALID_IMAGE_HEADER),
        (first(NEW, len=SLOT_SIZE), IMG_MGMT_ERR.INVALID_IMAGE_TOO_LARGE),
        (first(b"x" * 100), IMG_MGMT_ERR.INVALID_IMAGE_HEADER_MAGIC),
        (first(NEW, len=400), IMG_MGMT_ERR.INVALID_IMAGE_DATA_OVERRUN),
        (first(NEW, len=-1), IMG_MGMT_ERR.INVALID_LENGTH),
        (first(OLD, upgrade=True), IMG_MGMT_ERR.CURRENT_VERSION_IS_NEWER),
    ],
)
def test_uploads_that_cannot_work_are_refused(
    unit: Unit, request_: smp_image.ImageUploadWriteRequest, code: IMG_MGMT_ERR
) -> None:
    assert ask(unit, request_) == refused(code)
    assert running(unit) == "1.0.0+0"


def test_an_upgrade_only_upload_of_a_newer_version_is_taken(unit: Unit) -> None:
    assert ask(unit, first(NEW, upgrade=True)) == {"off": 496}


def test_a_piece_of_less_than_a_word_is_refused_rather_than_asked_for_forever(unit: Unit) -> None:
    ask(unit, first(NEW))
    assert ask(unit, smp_image.ImageUploadWriteRequest(off=496, data=b"seven b")) == refused(
        IMG_MGMT_ERR.INVALID_LENGTH
    )


def test_marking_what_is_not_there_is_refused(unit: Unit) -> None:
    write = smp_image.ImageStatesWriteRequest
    mine = mcuboot.parse(OLD).image_hash
    assert ask(unit, write()) == refused(IMG_MGMT_ERR.INVALID_HASH)
    assert ask(unit, write(hash=bytes(32))) == refused(IMG_MGMT_ERR.HASH_NOT_FOUND)
    assert ask(unit, write(hash=mine)) == refused(IMG_MGMT_ERR.IMAGE_SETTING_TEST_TO_ACTIVE_DENIED)
    for confirm in (write(confirm=True), write(hash=mine, confirm=True)):
        assert ask(unit, confirm) == {"images": [state(0, OLD, "1.0.0", active=True, confirmed=True)]}


def test_a_permanent_mark_shows_and_boots_as_well(unit: Unit) -> None:
    upload(unit, NEW)
    mark = smp_image.ImageStatesWriteRequest(hash=mcuboot.parse(NEW).image_hash, confirm=True)
    assert ask(unit, mark)["images"][1] == state(1, NEW, "2.1.0.7", pending=True, permanent=True)
    unit.reset()
    assert running(unit) == "2.1.0+7"


def test_a_new_upload_withdraws_the_mark(unit: Unit) -> None:
    upload(unit, NEW)
    ask(unit, smp_image.ImageStatesWriteRequest(hash=mcuboot.parse(NEW).image_hash))
    ask(unit, first(image("3.0.0", 9)))
    unit.reset()
    assert running(unit) == "1.0.0+0"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (image("2.0.0", 9, key=OTHER_KEY), "no valid signature"),
        (image("2.0.0", 2), "below the stored 3"),
        (NEW[:3000] + b"!" + NEW[3001:], "hash does not match"),
    ],
)
def test_a_bad_image_is_refused_at_boot_and_the_old_one_runs(unit: Unit, bad: bytes, why: str) -> None:
    install(unit, bad)
    assert running(unit) == "1.0.0+0"
    answer = ask(unit, group.IdentifyRequest())
    assert answer["mode"] == 1
    assert why in answer["boot_error"]
    assert len(ask(unit, smp_image.ImageStatesReadRequest())["images"]) == 1
    unit.reset()
    assert ask(unit, group.IdentifyRequest())["boot_error"] == ""


def test_a_newer_counter_shuts_the_way_back(unit: Unit) -> None:
    install(unit, NEW)
    install(unit, OLD)
    assert running(unit) == "2.1.0+7"
    assert ask(unit, group.CountersRequest())["security"] == 4


def test_the_primary_slot_is_not_erased(unit: Unit) -> None:
    assert ask(unit, smp_image.ImageEraseRequest(slot=0)) == refused(IMG_MGMT_ERR.NO_FREE_SLOT)
    assert ask(unit, smp_image.ImageEraseRequest(slot=2)) == refused(IMG_MGMT_ERR.INVALID_SLOT)
    upload(unit, NEW)
    assert ask(unit, smp_image.ImageEraseRequest(slot=1)) == {}
    assert len(ask(unit, smp_image.ImageStatesReadRequest())["images"]) == 1


def test_half_a_mark_is_told(unit: Unit) -> None:
    upload(unit, NEW)
    mark = smp_image.ImageStatesWriteRequest(hash=mcuboot.parse(NEW).image_hash)
    unit.silicon.supply.lasts = 1
    with pytest.raises(PowerLost):
        ask(unit, mark)
    unit.power_cycle()
    assert ask(unit, mark) == refused(IMG_MGMT_ERR.FLASH_WRITE_FAILED)
    install(unit, NEW)
    assert running(unit) == "2.1.0+7"


def test_power_lost_in_an_upload_costs_the_upload_once(tmp_path: Path) -> None:
    unit = new_unit(tmp_path, Faults(power_loss=True))
    ask(unit, group.BootKeyWriteRequest(pub=spki()))
    with pytest.raises(PowerLost):
        upload(unit, NEW)
    unit.power_cycle()
    install(unit, NEW)
    assert running(unit) == "2.1.0+7"
