"""MCUmgr's image group: state, upload, erase (Zephyr's ``smp_group_1``) over one pair of slots.

Images always go to the secondary slot, from the boot ROM's recovery server as well, and run after ``state`` has marked
them and the unit has booted. A new upload erases the slot, and with it a mark. What is uploaded is not verified here:
that is the boot ROM's, at the next boot.
"""

from typing import Any, Final

from smp import image_management as smp_image
from smp.image_management import IMG_MGMT_ERR

from imprint.encoding import sha256
from imprint.errors import FormatError
from imprint.formats import mcuboot
from imprint.formats.mcuboot import Flag, Image, Version
from imprint.formats.provisioning_group import Mode
from imprint.virtual.flash import WORD
from imprint.virtual.refusal import Refusal
from imprint.virtual.route import Fields, Route
from imprint.virtual.slots import Slot
from imprint.virtual.unit import Unit, Upload


def read_state(unit: Unit, request: smp_image.ImageStatesReadRequest) -> Fields:
    """The images in both slots."""
    return {"images": _images(unit)}


def write_state(unit: Unit, request: smp_image.ImageStatesWriteRequest) -> Fields:
    """Mark the image with this hash for the next boot; confirming what already runs changes nothing."""
    if request.hash is None and not request.confirm:
        raise Refusal(IMG_MGMT_ERR.INVALID_HASH)
    slots = unit.silicon.slots
    if request.hash is not None and request.hash == _hash_in(unit, Slot.SECONDARY):
        if not slots.ask_for_upgrade(permanent=request.confirm):
            raise Refusal(IMG_MGMT_ERR.FLASH_WRITE_FAILED)
    elif unit.running is None or request.hash not in (None, unit.running.image_hash):
        raise Refusal(IMG_MGMT_ERR.HASH_NOT_FOUND)
    elif not request.confirm:
        raise Refusal(IMG_MGMT_ERR.IMAGE_SETTING_TEST_TO_ACTIVE_DENIED)
    return {"images": _images(unit)}


def upload(unit: Unit, request: smp_image.ImageUploadWriteRequest) -> Fields:
    """Take a piece. One at another offset than the wanted one is dropped, and the wanted offset told."""
    going = unit.upload
    if request.off == 0:
        going = _begin(unit, request)
    if going is None:
        return {"off": 0}
    if request.off == going.offset and going.offset < going.size:
        _take(unit, going, request.data)
    answer: Fields = {"off": going.offset}
    if going.sha is not None and going.offset == going.size:
        answer["match"] = sha256(unit.silicon.slots.read(Slot.SECONDARY, going.size)) == going.sha
    return answer


def _begin(unit: Unit, request: smp_image.ImageUploadWriteRequest) -> Upload:
    if request.image not in (None, 0):
        raise Refusal(IMG_MGMT_ERR.INVALID_SLOT)
    if request.len is None or request.len < mcuboot.LEAST_HEADER_SIZE:
        raise Refusal(IMG_MGMT_ERR.INVALID_LENGTH)
    going = unit.upload
    if going is not None and request.sha is not None and (going.size, going.sha) == (request.len, request.sha):
        return going  # the same image again: go on where it was
    if len(request.data) < mcuboot.LEAST_HEADER_SIZE:
        raise Refusal(IMG_MGMT_ERR.INVALID_IMAGE_HEADER)
    if len(request.data) > request.len:
        raise Refusal(IMG_MGMT_ERR.INVALID_IMAGE_DATA_OVERRUN)
    if request.len > unit.silicon.slots.largest_image:
        raise Refusal(IMG_MGMT_ERR.INVALID_IMAGE_TOO_LARGE)
    if int.from_bytes(request.data[:4], "little") != mcuboot.MAGIC:
        raise Refusal(IMG_MGMT_ERR.INVALID_IMAGE_HEADER_MAGIC)
    if request.upgrade and unit.running is not None and _header_version(request.data) <= unit.running.version:
        raise Refusal(IMG_MGMT_ERR.CURRENT_VERSION_IS_NEWER)
    going = Upload(size=request.len, sha=request.sha)
    unit.begin_upload(going)
    unit.silicon.slots.erase(Slot.SECONDARY)
    return going


def _take(unit: Unit, going: Upload, data: bytes) -> None:
    if going.offset + len(data) > going.size:
        raise Refusal(IMG_MGMT_ERR.INVALID_IMAGE_DATA_OVERRUN)
    if going.offset + len(data) < going.size:
        data = data[: len(data) // WORD * WORD]  # half a word can't be written; the sender is told to send it again
        if not data:
            raise Refusal(IMG_MGMT_ERR.INVALID_LENGTH)
    unit.silicon.slots.write(Slot.SECONDARY, going.offset, data)
    going.offset += len(data)


def erase(unit: Unit, request: smp_image.ImageEraseRequest) -> Fields:
    """Erase the secondary slot; the primary one is in use."""
    if request.slot == Slot.PRIMARY:
        raise Refusal(IMG_MGMT_ERR.NO_FREE_SLOT)
    if request.slot not in (None, Slot.SECONDARY):
        raise Refusal(IMG_MGMT_ERR.INVALID_SLOT)
    unit.upload = None
    unit.silicon.slots.erase(Slot.SECONDARY)
    return {}


def _images(unit: Unit) -> list[dict[str, Any]]:
    slots = unit.silicon.slots
    active = unit.mode is Mode.APPLICATION
    states = {
        Slot.PRIMARY: {"active": active, "confirmed": active, "pending": False, "permanent": False},
        Slot.SECONDARY: {
            "active": False,
            "confirmed": False,
            "pending": slots.is_pending,
            "permanent": slots.is_permanent,
        },
    }
    images = []
    for slot in Slot:
        image = _image_in(unit, slot)
        if image is not None:
            images.append(
                {
                    "slot": int(slot),
                    "version": _short(image.version),
                    "hash": image.image_hash,
                    "bootable": not image.flags & Flag.NON_BOOTABLE,
                    **states[slot],
                }
            )
    return images


def _image_in(unit: Unit, slot: Slot) -> Image | None:
    try:
        return mcuboot.parse(unit.silicon.slots.read(slot))
    except FormatError:
        return None


def _hash_in(unit: Unit, slot: Slot) -> bytes | None:
    image = _image_in(unit, slot)
    return None if image is None else image.image_hash


def _header_version(header: bytes) -> Version:
    return Version(major=header[20], minor=header[21], revision=int.from_bytes(header[22:24], "little"), build=0)


def _short(version: Version) -> str:
    # As Zephyr prints it: the build number only when there is one.
    build = f".{version.build}" if version.build else ""
    return f"{version.major}.{version.minor}.{version.revision}{build}"


ROUTES: Final = (
    Route(
        request=smp_image.ImageStatesReadRequest,
        handle=read_state,
        in_rom=True,
    ),
    Route(
        request=smp_image.ImageStatesWriteRequest,
        handle=write_state,
        in_rom=True,
    ),
    Route(
        request=smp_image.ImageUploadWriteRequest,
        handle=upload,
        in_rom=True,
    ),
    Route(request=smp_image.ImageEraseRequest, handle=erase, in_rom=True),
)
