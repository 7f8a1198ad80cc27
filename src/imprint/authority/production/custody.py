"""What a record may say of a private key: where it was born, and what saw or could have seen it (rule 6)."""

from dataclasses import dataclass

from imprint.protocol.intentions import KeyOrigin


@dataclass(frozen=True, slots=True)
class Custody:
    """A sentence for people, and the parties that could have seen the private key."""

    sentence: str
    seen_by: tuple[str, ...]


def custody_of(origin: KeyOrigin, *, boot_key_signed: bool) -> Custody:
    """``boot_key_signed``: the unit's signed statement says that its fused boot key is the one that signs our images,
    so that the firmware which made the key was verified by the unit, whoever loaded it."""
    if origin is KeyOrigin.DEVICE and boot_key_signed:
        return Custody("made in the unit by firmware that the unit's own boot key verified; never left the unit", ())
    if origin is KeyOrigin.DEVICE:
        return Custody(
            "made in the unit by firmware that the station loaded and nothing verified; possibly the station",
            ("possibly the station",),
        )
    if origin is KeyOrigin.PREPROVISIONED:
        return Custody("made by the chip's vendor, whose certificate says so; the line saw no secret", ("chip vendor",))
    raise AssertionError(f"no profile with origin {origin} can be added yet")
