"""The door: every request passes it before anything is done for it."""

from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from imprint.authority.access.account import Account, find_account
from imprint.errors import AccessError
from imprint.reader import Reader
from imprint.service.permissions import PERMISSIONS
from imprint.service.problems import TooLarge, TooOften
from imprint.service.rates import Rates

CLIENT: Final = "imprint.client-certificate"  # in the scope's extensions: SHA-256 of the client's certificate


@dataclass(frozen=True, slots=True)
class Door:
    """Who asks, whether they may, and how much they may send."""

    reader: Reader
    rates: Rates

    def admit(self, request: Request, operation: str) -> Account:
        """The account that asks. Raises :class:`AccessError` when it may not, :class:`TooOften`."""
        certificate = client_certificate(request.scope)
        wait_s = self.rates.take(certificate)
        if wait_s:
            raise TooOften(wait_s)
        with self.reader.store.reading() as store:
            account = find_account(store, certificate)
        if account.role not in PERMISSIONS[operation]:
            raise AccessError(
                f"the role {account.role} may not {operation}",
                subject=account.name,
                next_step="See docs/formats/service.md for who may do what",
            )
        return account


def client_certificate(scope: Any) -> str:
    """The SHA-256, hexadecimal, of the certificate with which the client came. The listener lets no one in without."""
    extensions = scope.get("extensions") or {}
    found: str | None = extensions.get(CLIENT)
    if found is None:
        raise AccessError("there is no client certificate", next_step="Enrol first")
    return found


async def read_body(request: Request, most: int) -> bytes:
    """The whole body. Raises :class:`TooLarge` as soon as it is known to be too long, and reads no further."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > most:
        raise TooLarge(f"{announced} bytes are more than {most}", subject="body")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise TooLarge(f"more than {most} bytes", subject="body")
        parts.append(part)
    return b"".join(parts)
