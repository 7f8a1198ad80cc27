"""The units of one folder: open them or make them, as their order says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imprint.encoding import sha256
from imprint.errors import ConflictError, InputError
from imprint.formats import mcuboot
from imprint.virtual.fault import Faults
from imprint.virtual.silicon import Silicon
from imprint.virtual.unit import Unit
from imprint.virtual.vendor import Vendor


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for. ``boot_key`` (SubjectPublicKeyInfo, DER) is fused before the units are first powered;
    ``vendor_folder`` asks for elements with a vendor's certificates and is where the vendor's root goes."""

    folder: Path
    count: int
    faults: Mapping[int, Faults] = field(default_factory=dict)
    boot_key: bytes | None = None
    vendor_folder: Path | None = None


def open_units(order: Order) -> list[Unit]:
    """The units 0 to ``count`` - 1, powered. Those that the folder has are the same ones as before.

    Raises :class:`InputError` for an order that makes no sense, :class:`ConflictError` when a unit's fuses hold another
    boot key, :class:`imprint.errors.StorageError` when a unit's files can't be read or written.
    """
    _check(order)
    parts = [Silicon(order.folder / "units" / str(number)) for number in range(order.count)]
    if order.boot_key is not None:
        for number, silicon in enumerate(parts):
            _fuse(silicon, order.boot_key, number)
    if order.vendor_folder is not None:
        vendor = Vendor(order.folder / "vendor")
        vendor.publish(order.vendor_folder)
        for silicon in parts:
            vendor.provision(silicon)
    units = []
    for number, silicon in enumerate(parts):
        faults = order.faults.get(number, Faults())
        reported = silicon if faults.clone_of is None else parts[faults.clone_of]
        units.append(Unit(silicon, faults, hardware_id=reported.hardware_id))
    return units


def _check(order: Order) -> None:
    if not 0 < order.count <= 1000:
        raise InputError(f"{order.count} units can't be served", subject="count", next_step="Ask for 1 to 1000")
    for number, faults in order.faults.items():
        for unit in (number, faults.clone_of or 0):
            if unit >= order.count:
                raise InputError(f"there is no unit {unit} among {order.count}", subject="fault")
    if order.boot_key is not None:
        mcuboot.load_boot_key(order.boot_key)


def _fuse(silicon: Silicon, boot_key: bytes, number: int) -> None:
    if silicon.fuses.boot_key_hash not in (b"", sha256(boot_key)):
        raise ConflictError(
            "the fuses hold another boot key", subject=f"unit {number}", next_step="Use that key or another folder"
        )
    silicon.burn(silicon.fuses.with_boot_key(boot_key))
