"""An account: a person or a station that the authority knows, with one role and one certificate at a time."""

import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Final

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.transaction import Reading
from imprint.clock import from_text
from imprint.encoding import sha256_hex
from imprint.errors import AccessError

# The actor who works on the authority's own machine, with its passphrase: no account has this name.
OWNER: Final = "owner"


@unique
class Role(StrEnum):
    """What an account is for. ``service/permissions.py`` says what each may ask."""

    OWNER = "owner"
    OFFICER = "officer"
    OPERATOR = "operator"
    STATION = "station"
    AUDITOR = "auditor"


@unique
class AccountState(StrEnum):
    """An account is invited, then active; a suspended one is refused everything until it is resumed."""

    INVITED = "invited"
    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account that may ask now. ``certificate`` is the SHA-256 of its client certificate, hexadecimal."""

    name: str
    role: Role
    certificate: str


def find_account(store: Reading, certificate: str) -> Account:
    """The active account whose certificate this is. Raises :class:`AccessError` for a certificate that was replaced by
    a newer one, and for an account that is suspended."""
    row = store.get("accounts", certificate=certificate)
    if row is None:
        raise AccessError(
            "this certificate is not in use: a newer one took its place", next_step="Use the newest, or enrol again"
        )
    if row["state"] != AccountState.ACTIVE:
        raise AccessError(f"the account is {row['state']}", subject=row["name"], next_step="Ask the owner")
    return Account(name=row["name"], role=Role(row["role"]), certificate=certificate)


def find_invitation(store: Reading, name: str, code: str, now: datetime) -> Row | None:
    """The account's row when an invitation for this name is open to this code, else None."""
    row = store.get("accounts", name=name)
    if row is None or row["code"] is None or row["state"] == AccountState.SUSPENDED:
        return None
    is_good = hmac.compare_digest(sha256_hex(code.encode()), row["code"]) and now <= from_text(row["code_until"])
    return row if is_good else None
