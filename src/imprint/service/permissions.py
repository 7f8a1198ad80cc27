"""Who may do what: each operation of the service, and the roles that may use it. Every route takes its line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from imprint.authority.access.account import Role

_OWNER, _OFFICER, _OPERATOR, _STATION, _AUDITOR = Role.OWNER, Role.OFFICER, Role.OPERATOR, Role.STATION, Role.AUDITOR
_STATIONS: Final = frozenset({_STATION})
_OWNERS: Final = frozenset({_OWNER})
_PEOPLE: Final = frozenset({_OWNER, _OFFICER, _OPERATOR, _AUDITOR})
_ALL: Final = frozenset(Role)

PERMISSIONS: Final[Mapping[str, frozenset[Role]]] = MappingProxyType(
    {
        # what a station asks for the unit on its bench
        "claim": _STATIONS,
        "take-over": _STATIONS,
        "certify": _STATIONS,
        "permit": _STATIONS,
        "complete": _STATIONS,
        "release": _STATIONS,
        "quarantine": _STATIONS,
        "read-package": _STATIONS,
        # what people decide
        "add-product": _OWNERS,
        "add-release": _OWNERS,
        "create-lot": _OWNERS,
        "close-lot": _OWNERS,
        "expire-claims": frozenset({_OWNER, _OPERATOR}),
        "refund-units": _OWNERS,
        "scrap-unit": frozenset({_OWNER, _OFFICER}),
        "revoke-unit": frozenset({_OWNER, _OFFICER}),
        "rework-unit": _OWNERS,
        "sign-crl": frozenset({_OWNER, _OFFICER}),
        "clear-unit": frozenset({_OFFICER}),
        "invite-account": _OWNERS,
        "suspend-account": frozenset({_OWNER, _OFFICER}),
        "resume-account": _OWNERS,
        # what people read
        "read-lots": _PEOPLE,
        "read-units": _PEOPLE,
        "read-products": _PEOPLE,
        "read-releases": _PEOPLE,
        "read-accounts": frozenset({_OWNER, _OFFICER, _AUDITOR}),
        "read-metrics": _PEOPLE,
        # what everybody reads who has an account
        "read-ledger": _ALL,
        "read-revocations": _ALL,
        "read-health": _ALL,
        "read-openapi": _ALL,
    }
)
