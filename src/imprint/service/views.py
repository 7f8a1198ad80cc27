"""What is read over HTTPS: the views that people have on the authority's own machine too, and a service's own."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from starlette.requests import Request

from imprint.protocol.person_port import View
from imprint.reader import Reader
from imprint.service.operation import names_in, parameter

# Under which name each view is permitted.
SHOWN: Final[Mapping[View, str]] = MappingProxyType(
    {
        View.LOTS: "read-lots",
        View.LOT: "read-lots",
        View.REPORT: "read-lots",
        View.LOT_UNITS: "read-units",
        View.UNIT: "read-units",
        View.PRODUCTS: "read-products",
        View.PRODUCT: "read-products",
        View.RELEASES: "read-releases",
        View.REVOKED: "read-units",
        View.ACCOUNTS: "read-accounts",
    }
)


def shown(view: View) -> Callable[[Reader, Request], bytes]:
    """What answers a request for this view."""
    names = names_in(view)

    def show(reader: Reader, request: Request) -> bytes:
        return _json(reader.read(view, **{name: parameter(request, name) for name in names}))

    return show


def revocation(reader: Reader, number: str) -> bytes:
    """Whether the certificate with this number (hexadecimal) is revoked, and why; and the SHA-256 of what was issued
    under it, null when nothing was."""
    with reader.store.reading() as store:
        row = store.get("revocations", number=number)
        issued = store.get("certificates", number=number)
    known = {"time": row["revoked"], "reason": row["reason"]} if row else {"time": None, "reason": None}
    certificate = issued["certificate"] if issued else None
    return _json({"number": number, "certificate": certificate, "revoked": row is not None, **known})


def health(reader: Reader) -> bytes:
    """The ledger's size, committed and under a checkpoint: an answer says that the database can be read."""
    with reader.store.reading() as store:
        committed = store.size()
    head = reader.tree.head()
    return _json({"status": "ok", "committed": committed, "integrated": head.size if head else 0})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
