"""What each entry about accounts changes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from imprint.authority.access.account import AccountState
from imprint.authority.decisions.changes import Change, ChangesOf, Insert, Row, Update
from imprint.authority.ledger.envelope import OpenedEntry

ACCOUNT_INVITED: Final = "account.invited"
ACCOUNT_INVITED_AGAIN: Final = "account.invited-again"
ACCOUNT_ENROLLED: Final = "account.enrolled"
ACCOUNT_SUSPENDED: Final = "account.suspended"
ACCOUNT_RESUMED: Final = "account.resumed"


def _invited(entry: OpenedEntry) -> list[Change]:
    fields = entry.private
    row = {
        "name": fields["name"],
        "role": fields["role"],
        "state": AccountState.INVITED.value,
        "code": fields["code"],
        "code_until": fields["code_until"],
        "certificate": None,
        "valid_until": None,
    }
    return [Insert("accounts", row)]


def _invited_again(entry: OpenedEntry) -> list[Change]:
    fields = entry.private
    return [_update(entry, {"code": fields["code"], "code_until": fields["code_until"]})]


def _enrolled(entry: OpenedEntry) -> list[Change]:
    fields = entry.private
    values = {
        "state": AccountState.ACTIVE.value,
        "code": None,
        "code_until": None,
        "certificate": fields["certificate"],
        "valid_until": fields["valid_until"],
    }
    return [_update(entry, values)]


def _suspended(entry: OpenedEntry) -> list[Change]:
    return [_update(entry, {"state": AccountState.SUSPENDED.value, "code": None, "code_until": None})]


def _resumed(entry: OpenedEntry) -> list[Change]:
    return [_update(entry, {"state": entry.private["state"]}, expect={"state": AccountState.SUSPENDED.value})]


def _update(entry: OpenedEntry, values: Row, *, expect: Row = MappingProxyType({})) -> Update:
    return Update("accounts", {"name": entry.private["name"]}, set=values, expect=expect)


CHANGES: Final[Mapping[str, ChangesOf]] = MappingProxyType(
    {
        ACCOUNT_INVITED: _invited,
        ACCOUNT_INVITED_AGAIN: _invited_again,
        ACCOUNT_ENROLLED: _enrolled,
        ACCOUNT_SUSPENDED: _suspended,
        ACCOUNT_RESUMED: _resumed,
    }
)
