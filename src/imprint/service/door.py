"""The door: every request passes it before anything is done for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from imprint.assemble import Platform
from imprint.authority.access.account import Account, find_account
from imprint.errors import AccessError, FormatError
from imprint.service.permissions import PERMISSIONS
from imprint.service.problems import problem
from imprint.service.rates import Rates

CLIENT: Final = "imprint.client-certificate"  # in the scope's extensions: SHA-256 of the client's certificate


class TooLarge(FormatError):
    """A body that is longer than its route takes."""


class TooOften(AccessError):
    """An account that asks more often than it may."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("too many requests", next_step=f"Wait {wait_s:.3f} s")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Door:
    """Who asks, whether they may, and how much they may send."""

    platform: Platform
    rates: Rates

    def admit(self, request: Request, operation: str) -> Account:
        """The account that asks. Raises :class:`AccessError` when it may not, :class:`TooOften`."""
        certificate = client_certificate(request.scope)
        wait_s = self.rates.take(certificate)
        if wait_s:
            raise TooOften(wait_s)
        with self.platform.reader.store.reading() as store:
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


def closed(response: Response) -> Response:
    """The response after which the connection ends, since what else comes in on it is of no use."""
    response.headers["connection"] = "close"
    return response


def too_large(error: TooLarge) -> Response:
    """413, and the connection ends."""
    return closed(problem(413, error.what, kind="FormatError"))


def too_often(error: TooOften) -> Response:
    """429 with the time to wait."""
    return problem(
        429, error.what, kind="AccessError", next_step=error.next_step, headers={"retry-after": f"{error.wait_s:.3f}"}
    )


Seconds = Callable[[], float]
monotonic: Final[Seconds] = time.monotonic
