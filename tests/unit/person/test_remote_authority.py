"""Which commands keep their request IDs. What comes of it is shown against a service that runs, in test_people.py."""

from imprint.person.remote_authority import ASKED_ANEW
from imprint.protocol.commands import (
    KINDS,
    AddProduct,
    AddRelease,
    ClearUnit,
    CreateLot,
    RefundUnits,
    ResumeAccount,
    ReworkUnit,
)

GIVES = {AddProduct, AddRelease, ClearUnit, CreateLot, RefundUnits, ResumeAccount, ReworkUnit}


def test_somebody_has_thought_of_each_command() -> None:
    """A new one fails here: what would a second decision do, and what would an old answer hide?"""
    assert set(KINDS) - ASKED_ANEW == GIVES
