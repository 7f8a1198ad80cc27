"""What a target can do, and what the bench around it can do.

Every method is one exchange or a short series of them. All raise :class:`imprint.errors.UnitSilent` when no usable
answer came in time, :class:`imprint.errors.UnitRefused` when the unit answered with an error, and
:class:`imprint.errors.UnitFailed` when the answer cannot be true. Nothing a unit says is trusted beyond that.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from imprint.formats.provisioning_group import DebugLevel, KeyAlgorithm, Mode

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the unit says it is. ``hardware_id`` is lower-case hexadecimal, ``boots`` the boots since it was made."""

    hardware_id: str
    part: str
    mode: Mode
    boots: int
    boot_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSlot:
    """One slot of the unit's image flash. ``hash`` is the image's SHA-256 TLV, empty when the unit does not tell."""

    slot: int
    hash: bytes
    version: str
    active: bool
    pending: bool
    confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """``session`` counts boots of an application, ``monotonic`` signed statements, ``security`` is the boot ROM's."""

    session: int
    monotonic: int
    security: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """The firmware's verdict on its own board, with measurements by name."""

    passed: bool
    values: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A signed statement (:class:`imprint.formats.provisioning_group.UnitStatement`), not yet checked."""

    statement: bytes
    signature: bytes


class Target(Protocol):
    """A unit on the bench."""

    async def identify(self) -> Identity:
        """Who are you?"""
        ...

    async def public_key(self) -> bytes | None:
        """The identity key's SubjectPublicKeyInfo (DER), or None when there is no key."""
        ...

    async def make_key(self, algorithm: KeyAlgorithm) -> bytes:
        """Make the identity key, or keep the one that is there; its SubjectPublicKeyInfo (DER)."""
        ...

    async def csr(self) -> bytes:
        """A PKCS#10 request (DER) signed by the identity key."""
        ...

    async def certificate(self) -> bytes | None:
        """The stored certificate (DER), or None."""
        ...

    async def write_certificate(self, certificate: bytes) -> None:
        """Store a certificate (DER)."""
        ...

    async def boot_key(self) -> bytes | None:
        """SHA-256 of the fused boot key, or None while the fuses are blank."""
        ...

    async def fuse_boot_key(self, spki: bytes) -> None:
        """Burn the boot-key fuses. Irreversible."""
        ...

    async def debug_level(self) -> DebugLevel:
        """The debug port's level as the firmware sees it."""
        ...

    async def lock_debug(self) -> DebugLevel:
        """Close the debug port for good; the level that was written. Takes hold at the next power cycle."""
        ...

    async def counters(self) -> Counters:
        """The unit's counters."""
        ...

    async def prove(self, nonce: bytes) -> Proof:
        """A statement over ``nonce`` (16 to 64 bytes), signed by the identity key."""
        ...

    async def self_test(self) -> SelfTest:
        """Run the firmware's own test."""
        ...

    async def setting(self, name: str) -> bytes | None:
        """A stored setting, or None."""
        ...

    async def write_setting(self, name: str, value: bytes) -> None:
        """Set a value; :meth:`save_settings` makes it last."""
        ...

    async def save_settings(self) -> None:
        """Store the settings so that they outlive a power cycle."""
        ...

    async def images(self) -> tuple[ImageSlot, ...]:
        """What is in the image slots."""
        ...

    async def upload(self, image: bytes, progress: Progress) -> None:
        """Send an image; ``progress`` is told how many bytes have arrived. Goes on where a broken upload stopped."""
        ...

    async def mark_pending(self, image_hash: bytes) -> None:
        """Boot this image next."""
        ...

    async def confirm(self, image_hash: bytes) -> None:
        """Keep the running image."""
        ...

    async def reset(self) -> None:
        """Restart the unit. Returns when the unit has accepted; :meth:`await_boot` waits for it to be back."""
        ...

    async def await_boot(self, boots: int) -> Identity:
        """Wait until the unit answers and its boot count is above ``boots``."""
        ...

    def lend(self) -> AbstractAsyncContextManager[None]:
        """Leave the port to another program for a while."""
        ...


class PowerSwitch(Protocol):
    """The bench can take the unit's power away."""

    async def power_cycle(self) -> None:
        """Off, and on again."""
        ...


class DebugProbe(Protocol):
    """The bench can try the unit's debug port: what a thief would do."""

    async def attach(self) -> DebugLevel:
        """Try to attach; the level at which the port really is."""
        ...
