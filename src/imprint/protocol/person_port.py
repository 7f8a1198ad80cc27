"""The one interface behind which an authority sits for people: on its own machine, or over HTTPS."""

from enum import StrEnum, unique
from typing import Any, Protocol

from imprint.protocol.commands import Command


@unique
class View(StrEnum):
    """What people may read of an authority: JSON objects. The value is where a service shows it."""

    LOTS = "/v1/lots"
    LOT = "/v1/lots/{lot}"
    REPORT = "/v1/lots/{lot}/report"
    LOT_UNITS = "/v1/lots/{lot}/units"
    UNIT = "/v1/units/{name}"  # by serial number or hardware ID
    PRODUCTS = "/v1/products"
    PRODUCT = "/v1/products/{product}"
    RELEASES = "/v1/releases"
    REVOKED = "/v1/revocations"
    ACCOUNTS = "/v1/accounts"


class Views(Protocol):
    """An authority as whoever only reads sees it."""

    def read(self, view: View, **names: str) -> dict[str, Any]:
        """What the view shows; ``names`` are those in its path. Raises :class:`imprint.errors.RefusedError` when there
        is no such thing."""
        ...


class PersonPort(Views, Protocol):
    """An authority as a person sees it."""

    def command(self, command: Command) -> str:
        """Decide; the state that it led to, once it is durable. Raises :class:`imprint.errors.RefusedError` for a
        refusal, and :class:`imprint.errors.StorageError` when the outcome is unknown."""
        ...

    def crl(self) -> bytes:
        """The last list of all that is revoked, DER. Raises :class:`imprint.errors.RefusedError` before the first."""
        ...

    def access_ca(self) -> bytes:
        """The certificate of the CA of accounts, DER."""
        ...
