"""Why an owner decides: a sentence that the ledger keeps."""

from typing import Annotated, Final

import typer

from imprint.errors import InputError

MOST_REASON: Final = 500  # characters

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the ledger")]


def checked_reason(text: str, option: str = "--reason") -> str:
    """The text, or :class:`InputError` when it says nothing or too much."""
    if not text.strip() or len(text) > MOST_REASON:
        raise InputError(f"a reason has 1 to {MOST_REASON} characters", subject=option)
    return text
