"""What each entry of releases changes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from imprint.authority.decisions.changes import Change, ChangesOf, Insert
from imprint.authority.ledger.envelope import OpenedEntry

RELEASE_ADDED: Final = "release.added"


def _release_added(entry: OpenedEntry) -> list[Change]:
    names = ("product", "role", "version", "image", "image_hash", "security_counter")
    return [Insert("releases", {name: entry.private[name] for name in names})]


CHANGES: Final[Mapping[str, ChangesOf]] = MappingProxyType({RELEASE_ADDED: _release_added})
