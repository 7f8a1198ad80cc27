"""What of a unit outlives its power: flash, fuses, key slot, counters, settings, certificate, hardware ID."""

import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import cbor2

from imprint.errors import StorageError
from imprint.virtual.flash import Flash, Supply, open_cells
from imprint.virtual.fuses import SIZE as FUSES_SIZE
from imprint.virtual.fuses import Fuses
from imprint.virtual.key_slot import KeySlot
from imprint.virtual.slots import SLOT_SIZE, Slots
from imprint.virtual.whole_file import write_whole

HARDWARE_ID_SIZE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Numbers that only go up."""

    boots: int = 0
    session: int = 0
    monotonic: int = 0
    security: int = 0


class Silicon:
    """The parts, and their files under one folder. What a method has written is there after the process was killed."""

    def __init__(self, folder: Path, *, slot_size: int = SLOT_SIZE) -> None:
        """Open the unit in ``folder``, or make a new one. Raises :class:`StorageError` for files that are not whole."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder = folder
            self.hardware_id = self._first_made("hardware-id", secrets.token_bytes(HARDWARE_ID_SIZE))
            self.supply = Supply()
            self.slots = Slots(Flash(open_cells(folder / "flash.bin", 2 * slot_size), self.supply))
            self.key_slot = KeySlot(folder / "identity.key")
            self.fuses = Fuses(self._read("fuses.bin") or bytes(FUSES_SIZE))
            self.certificate = self._read("certificate.der")
            stored = self._read("counters.cbor")
            self.counters = Counters(**cbor2.loads(stored)) if stored else Counters()
            settings = self._read("settings.cbor")
            self._settings: dict[str, bytes] = cbor2.loads(settings) if settings else {}
        except OSError as problem:
            raise StorageError(problem.strerror or "not readable", subject=str(folder)) from problem
        except (ValueError, TypeError, cbor2.CBORError) as problem:
            raise StorageError(
                "the files are not those of a virtual unit", subject=str(folder), next_step="Remove the folder"
            ) from problem

    def burn(self, fuses: Fuses) -> None:
        """Burn the fuses to this value, which must have come from the present one."""
        self._write("fuses.bin", fuses.bits)
        self.fuses = fuses

    def count(self, counters: Counters) -> None:
        """Store the counters."""
        self._write("counters.cbor", cbor2.dumps(asdict(counters), canonical=True))
        self.counters = counters

    def keep_certificate(self, certificate: bytes) -> None:
        """Store the identity's certificate (DER)."""
        self._write("certificate.der", certificate)
        self.certificate = certificate

    @property
    def settings(self) -> dict[str, bytes]:
        """A copy of the settings."""
        return dict(self._settings)

    def keep_settings(self, settings: dict[str, bytes]) -> None:
        """Store the settings."""
        self._write("settings.cbor", cbor2.dumps(settings, canonical=True))
        self._settings = dict(settings)

    def _read(self, name: str) -> bytes:
        path = self._folder / name
        return path.read_bytes() if path.exists() else b""

    def _write(self, name: str, data: bytes) -> None:
        write_whole(self._folder / name, data)

    def _first_made(self, name: str, value: bytes) -> bytes:
        if not self._read(name):
            self._write(name, value)
        return self._read(name)
