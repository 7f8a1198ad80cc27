"""What each entry of issuance changes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from imprint.authority.decisions.changes import Change, ChangesOf, Insert
from imprint.authority.ledger.envelope import OpenedEntry

CRL_SIGNED: Final = "crl.signed"


def _crl_signed(entry: OpenedEntry) -> list[Change]:
    names = ("number", "crl", "this_update", "next_update")
    row = {name: entry.public[name] for name in names}
    return [Insert("crls", {**row, "revoked": entry.private["revoked"]})]


CHANGES: Final[Mapping[str, ChangesOf]] = MappingProxyType({CRL_SIGNED: _crl_signed})
