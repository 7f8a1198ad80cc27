"""A place on the bench that holds one unit."""

from dataclasses import dataclass

DEFAULT_BAUD = 115200


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """``port`` is the serial line to the unit, ``bench`` the one to the fixture's own instruments, if it has any.

    ``scanned_serial`` is the label's text, for products whose serial numbers are scanned. ``baud`` is in bits a second;
    a pseudo-terminal and USB ignore it.
    """

    name: str
    port: str
    bench: str | None = None
    scanned_serial: str | None = None
    baud: int = DEFAULT_BAUD
