"""What a record may say of a private key: where it was born, and what saw or could have seen it (rule 6)."""

from dataclasses import dataclass

from imprint.protocol.intentions import KeyOrigin


@dataclass(frozen=True, slots=True)
class Custody:
    """A sentence for people, and the parties that could have seen the private key."""

    sentence: str
    seen_by: tuple[str, ...]


def custody_of(origin: KeyOrigin, *, boot_key_signed: bool) -> Custody:
    """``boot_key_signed``: the unit's final statement says that its fused boot key is the one that signs our images.

    Even then, that this already held when the key was made is the station's word: it could have burned the fuses after
    firmware of its own had made the key. Only silicon that attests can take the station off the list.
    """
    if origin is KeyOrigin.DEVICE:
        verified = "the unit's own boot key verified" if boot_key_signed else "nothing verified"
        return Custody(
            f"made in the unit by firmware that {verified}; that it was this firmware is the station's word",
            ("possibly the station",),
        )
    if origin is KeyOrigin.PREPROVISIONED:
        return Custody("made by the chip's vendor, whose certificate says so; the line saw no secret", ("chip vendor",))
    raise AssertionError(f"no profile with origin {origin} can be added yet")
