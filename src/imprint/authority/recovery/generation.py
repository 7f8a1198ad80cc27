"""The generations of a ledger. A log that lost entries cannot go on under its name: whoever holds an old checkpoint
would see two histories of one log. So it goes on under another, ``ORIGIN/2``, and says so in its first new entry.
"""

import re
from collections.abc import Iterable
from typing import Final

from imprint.encoding import sha256_hex

_LATER: Final = re.compile(r"(.+)/([2-9]|[1-9][0-9]{1,8})", re.ASCII)


def generation_of(origin: str) -> tuple[str, int]:
    """The name of the first generation, and which one this is."""
    found = _LATER.fullmatch(origin)
    return (found[1], int(found[2])) if found else (origin, 1)


def next_origin(known: Iterable[str]) -> str:
    """The origin of the generation after all of these, which are of one ledger."""
    generations = [generation_of(origin) for origin in known]
    return f"{generations[0][0]}/{1 + max(number for _, number in generations)}"


def request_id(origin: str) -> str:
    """The ID of the one request that ends this generation. Its row in the database says that nothing is decided under
    this origin any more."""
    return f"reconcile-{sha256_hex(origin.encode())}"
