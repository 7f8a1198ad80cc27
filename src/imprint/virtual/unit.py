"""A unit with its power on: what boots, what its firmware remembers until the next reset and does when asked."""

import secrets
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from imprint.encoding import sha256
from imprint.errors import FormatError
from imprint.formats import bench_port, mcuboot
from imprint.formats.provisioning_group import (
    PROTOCOL_VERSION,
    STATEMENT_CONTEXT,
    DebugLevel,
    KeyAlgorithm,
    Mode,
    ProvisioningErr,
    UnitStatement,
)
from imprint.virtual import boot_rom, debug_port
from imprint.virtual.fault import Faults
from imprint.virtual.refusal import Refusal
from imprint.virtual.silicon import Silicon

PART: Final = "imprint-virtual"
LARGEST_CERTIFICATE: Final = 4096
_NONCE_SIZES: Final = range(16, 65)


@dataclass(slots=True, kw_only=True)
class Upload:
    """An image on its way into the secondary slot; gone after a reset, as in MCUmgr."""

    size: int
    sha: bytes | None
    offset: int = 0


class Unit:
    """One unit. ``power_cycle`` is the first thing that happens to it."""

    def __init__(self, silicon: Silicon, faults: Faults, *, hardware_id: bytes) -> None:
        """``hardware_id`` is what the unit reports: that of its silicon, unless it is a clone."""
        self.silicon = silicon
        self.faults = faults
        self.hardware_id = hardware_id
        self._upload_will_fail = faults.power_loss
        self.power_cycle()

    def power_cycle(self) -> None:
        """Supply off and on, and the supply is good. A debug level that was fused takes hold now."""
        self.silicon.supply.lasts = None
        self.debug = self.silicon.fuses.debug
        self.reset()

    def reset(self) -> None:
        """Boot. What was in RAM is gone."""
        self.requests = 0
        self.reset_is_due = False
        self.upload: Upload | None = None
        self._certificate_draft = b""
        counters = self.silicon.counters
        fuses = self.silicon.fuses
        ended = boot_rom.boot(self.silicon.slots, boot_key=fuses.boot_key, stored_counter=counters.security)
        self.running = ended.image
        self.boot_error = ended.refusal
        self.silicon.count(
            replace(
                counters,
                boots=counters.boots + 1,
                session=counters.session + (self.running is not None),
                security=ended.security_counter,
            )
        )

    @property
    def mode(self) -> Mode:
        """What is running."""
        return Mode.ROM if self.running is None else Mode.APPLICATION

    def attach_debugger(self) -> bench_port.Reply:
        """A probe on the debug port."""
        return debug_port.attach(DebugLevel.OPEN if self.faults.false_lock else self.debug)

    def is_hung(self) -> bool:
        """Whether the firmware has stopped answering."""
        return self.faults.hang_after is not None and self.requests > self.faults.hang_after

    def begin_upload(self, upload: Upload) -> None:
        """Take an image from its start. Where the fault is asked for, the supply will fail before its end."""
        self.upload = upload
        if self._upload_will_fail:
            self._upload_will_fail = False
            words = upload.size // 8
            self.silicon.supply.lasts = secrets.randbelow(max(words, 1))

    def make_key(self, algorithm: KeyAlgorithm) -> bool:
        """Make the identity key, if there is none; True when this made it."""
        slot = self.silicon.key_slot
        if not slot.is_empty:
            return False
        self._refuse_when_locked()
        slot.make(algorithm)
        return True

    def write_certificate(self, offset: int, size: int, data: bytes) -> int:
        """Take a piece of the certificate; the last one checks and stores it. The offset that is wanted next.

        Also when locked: a certificate for the key in the slot reveals nothing and opens nothing, and it can end before
        the unit does.
        """
        if self.silicon.key_slot.is_empty:
            raise Refusal(ProvisioningErr.NO_KEY)
        if not 0 < size <= LARGEST_CERTIFICATE or offset + len(data) > size:
            raise Refusal(ProvisioningErr.BAD_VALUE)
        draft = b"" if offset == 0 else self._certificate_draft
        if offset != len(draft):
            raise Refusal(ProvisioningErr.BAD_OFFSET)
        draft += data
        self._certificate_draft = draft
        if len(draft) == size:
            self._certificate_draft = b""
            self._store_certificate(draft)
        return len(draft)

    def _store_certificate(self, encoded: bytes) -> None:
        try:
            certificate = x509.load_der_x509_certificate(encoded)
            public = certificate.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        except Exception:  # hostile DER: cryptography raises several types, all of which mean that it is no certificate
            raise Refusal(ProvisioningErr.BAD_VALUE) from None
        if public != self.silicon.key_slot.public:
            raise Refusal(ProvisioningErr.KEY_MISMATCH)
        self.silicon.keep_certificate(encoded)

    def burn_boot_key(self, spki: bytes) -> None:
        """Burn the boot-key fuses; the same key again is no change."""
        self._refuse_when_locked()
        try:
            mcuboot.load_boot_key(spki)
        except FormatError:
            raise Refusal(ProvisioningErr.BAD_VALUE) from None
        fuses = self.silicon.fuses
        if fuses.boot_key_hash not in (b"", sha256(spki)):
            raise Refusal(ProvisioningErr.FUSED)
        self.silicon.burn(fuses.with_boot_key(spki))

    def raise_debug(self, level: DebugLevel) -> None:
        """Burn the debug level; it takes hold at the next power cycle."""
        self._refuse_when_locked()
        fuses = self.silicon.fuses
        if level < fuses.debug:
            raise Refusal(ProvisioningErr.FUSED)
        self.silicon.burn(fuses.with_debug(level))

    def state(self, nonce: bytes) -> tuple[bytes, bytes]:
        """A signed statement: its CBOR and the signature. The monotonic counter has gone up when this returns."""
        if len(nonce) not in _NONCE_SIZES:
            raise Refusal(ProvisioningErr.BAD_VALUE)
        silicon = self.silicon
        if silicon.key_slot.is_empty:
            raise Refusal(ProvisioningErr.NO_KEY)
        silicon.count(replace(silicon.counters, monotonic=silicon.counters.monotonic + 1))
        statement = UnitStatement(
            v=PROTOCOL_VERSION,
            nonce=nonce,
            hw=self.hardware_id,
            cert=sha256(silicon.certificate) if silicon.certificate else b"",
            image=self.running.image_hash if self.running else b"",
            version=str(self.running.version) if self.running else "",
            security=silicon.counters.security,
            boot_key=silicon.fuses.boot_key_hash,
            debug=int(self.debug),
            session=silicon.counters.session,
            monotonic=silicon.counters.monotonic,
        ).encode()
        return statement, silicon.key_slot.sign(STATEMENT_CONTEXT + statement)

    def test_itself(self) -> tuple[bool, dict[str, int]]:
        """The firmware's own test: whether all is well, and what was measured."""
        supply = 2710 if self.faults.self_test else 3280 + secrets.randbelow(40)
        return supply >= 3000, {"vdd_mv": supply, "temp_mc": 24000 + secrets.randbelow(3000)}

    def _refuse_when_locked(self) -> None:
        if self.debug is DebugLevel.LOCKED:
            raise Refusal(ProvisioningErr.LOCKED)
