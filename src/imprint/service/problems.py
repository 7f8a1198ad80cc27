"""Errors as HTTP says them: problem details (RFC 9457), with the error's kind, what happened, and what to do next."""

import json
from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from imprint.errors import AccessError, ConflictError, FormatError, ImprintError, InputError, RefusedError, StorageError

MEDIA_TYPE: Final = "application/problem+json"


class TooLarge(FormatError):
    """A body that is longer than its route takes."""


class TooOften(AccessError):
    """An account that asks more often than it may."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("too many requests", next_step=f"Wait {wait_s:.3f} s")
        self.wait_s = wait_s


# The first kind that fits; everything else is the service's own trouble.
_STATUS: Final[tuple[tuple[type[ImprintError], int], ...]] = (
    (AccessError, 403),
    (RefusedError, 404),
    (InputError, 400),
    (ConflictError, 400),
    (StorageError, 503),
)


def problem(
    status: int,
    what: str,
    *,
    kind: str = "",
    code: str = "",
    next_step: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem. ``kind`` names the error in :mod:`imprint.errors`, ``code`` the rule which refused."""
    body = {"status": status, "title": what, "kind": kind, "code": code, "next_step": next_step}
    return Response(json.dumps(body), status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def problem_of(error: ImprintError) -> Response:
    """What an error is over HTTP. One about the service's own files does not say where they are."""
    if isinstance(error, TooLarge):  # what else comes in on the connection is of no use
        return problem(413, error.what, kind="FormatError", headers={"connection": "close"})
    if isinstance(error, TooOften):
        wait = {"retry-after": f"{error.wait_s:.3f}"}
        return problem(429, error.what, kind="AccessError", next_step=error.next_step, headers=wait)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    name = type(error).__name__
    if status >= 500:
        return problem(status, "the authority cannot answer now", kind=name, next_step="Ask again with the same ID")
    what = f"{error.subject}: {error.what}" if error.subject else error.what
    code = error.code if isinstance(error, RefusedError) else ""
    return problem(status, what, kind=name, code=code, next_step=error.next_step)
