"""What runs after a reset: MCUboot's overwrite upgrade, with the boot key in fuses and the security counter kept.

A pending secondary image that the boot key signed, and whose security counter is not below the stored one, replaces
the primary one. It stays where it is until the copy is whole, so a copy that lost its power is made again from the
start; then the secondary slot is erased, header first. A pending image that fails a check is erased whole and the
primary boots. With blank boot-key fuses secure boot is off: any whole image will do.
"""

from dataclasses import dataclass

from imprint.errors import InputError
from imprint.formats import mcuboot
from imprint.formats.mcuboot import Image
from imprint.virtual.flash import ERASED
from imprint.virtual.slots import Slot, Slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """How a boot ended. Without an image the boot ROM's own recovery server runs."""

    image: Image | None
    security_counter: int  # what is to be stored now
    refusal: str  # why an image was refused, or ""


def boot(slots: Slots, *, boot_key: bytes | None, stored_counter: int) -> Boot:
    """Decide what runs. ``boot_key`` is a SubjectPublicKeyInfo (DER), or None for blank fuses.

    Raises :class:`imprint.virtual.flash.PowerLost`; calling it again goes on.
    """
    refusal = ""
    if slots.is_pending:
        refusal = _upgrade(slots, boot_key, stored_counter)
    if _is_blank(slots, Slot.PRIMARY):
        return Boot(image=None, security_counter=stored_counter, refusal=refusal)
    try:
        image = _judge(slots, Slot.PRIMARY, boot_key, stored_counter)
    except InputError as problem:
        return Boot(image=None, security_counter=stored_counter, refusal=refusal or f"primary image: {problem.what}")
    if boot_key is not None:  # nobody vouches for the counter of an unverified image
        stored_counter = max(stored_counter, image.security_counter or 0)
    return Boot(image=image, security_counter=stored_counter, refusal=refusal)


def _upgrade(slots: Slots, boot_key: bytes | None, stored_counter: int) -> str:
    refusal = ""
    if not _is_blank(slots, Slot.SECONDARY):  # else an earlier boot was erasing this slot when the power went
        try:
            image = _judge(slots, Slot.SECONDARY, boot_key, stored_counter)
        except InputError as problem:
            refusal = f"secondary image: {problem.what}"
        else:
            slots.erase(Slot.PRIMARY)
            slots.write(Slot.PRIMARY, 0, slots.read(Slot.SECONDARY, image.size))
    slots.erase(Slot.SECONDARY)
    return refusal


def _judge(slots: Slots, slot: Slot, boot_key: bytes | None, stored_counter: int) -> Image:
    data = slots.read(slot)
    if boot_key is None:
        return mcuboot.check(data)
    return mcuboot.verify(data, boot_key, least_security_counter=stored_counter)


def _is_blank(slots: Slots, slot: Slot) -> bool:
    return slots.read(slot, mcuboot.LEAST_HEADER_SIZE).count(ERASED) == mcuboot.LEAST_HEADER_SIZE
