"""Rules about accounts: who is let in, with which certificate, and who is shut out."""

import re
from datetime import timedelta
from typing import Final

from imprint.authority.access.account import AccountState, Role, find_invitation
from imprint.authority.access.entries import (
    ACCOUNT_ENROLLED,
    ACCOUNT_INVITED,
    ACCOUNT_INVITED_AGAIN,
    ACCOUNT_RESUMED,
    ACCOUNT_SUSPENDED,
)
from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.outcome import Event, Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.issuance.access_ca import CLIENT_LIFE, AccessCa
from imprint.clock import to_text
from imprint.encoding import sha256_hex
from imprint.errors import InputError
from imprint.formats.x509 import certificate_number, check_csr
from imprint.protocol.answers import Done, Enrolled
from imprint.protocol.commands import InviteAccount, ResumeAccount, SuspendAccount
from imprint.protocol.enrolment import NAME, Enrolment
from imprint.protocol.refusals import Code

MAX_HOURS: Final = 24 * 30
_NAME: Final = re.compile(NAME, re.ASCII)
_CODE_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NUMBER_BYTES: Final = 16


class InviteRule:
    """Decides :class:`InviteAccount`. ``reserved`` are the names of those who ask without an account."""

    def __init__(self, reserved: frozenset[str]) -> None:
        self._reserved = reserved

    def __call__(self, moment: Moment, store: Reading, command: InviteAccount) -> Outcome:
        """Refuses a malformed or reserved name, another role for a name that exists, and a suspended account."""
        if not _NAME.fullmatch(command.name) or command.name in self._reserved:
            raise Refusal(
                Code.BAD_REQUEST, f"an account cannot be named {command.name!r}", next_step="Choose another name"
            )
        if command.role not in list(Role):
            raise Refusal(Code.BAD_REQUEST, f"a role is one of {', '.join(Role)}, not {command.role!r}")
        if not 1 <= command.hours <= MAX_HOURS:
            raise Refusal(Code.BAD_REQUEST, f"a code is good for 1 to {MAX_HOURS} hours, not {command.hours}")
        if not _CODE_HASH.fullmatch(command.code):
            raise Refusal(Code.BAD_REQUEST, "a code's SHA-256 has 64 hexadecimal digits")
        known = store.get("accounts", name=command.name)
        if known is not None:
            _refuse_another(known, command)
        private = {
            "name": command.name,
            "role": command.role,
            "code": command.code,
            "code_until": to_text(moment.now + timedelta(hours=command.hours)),
        }
        event = Event(ACCOUNT_INVITED_AGAIN if known is not None else ACCOUNT_INVITED, private)
        return Outcome((event,), Done(state="invited"))


def _refuse_another(known: Row, command: InviteAccount) -> None:
    if known["role"] != command.role:
        raise Refusal(
            Code.NAME_TAKEN,
            f"account {command.name} has the role {known['role']}, for good",
            next_step="Choose another name for another role",
        )
    if known["state"] == AccountState.SUSPENDED:
        raise Refusal(
            Code.WRONG_STATE, f"account {command.name} is suspended", next_step="See 'imprint account resume'"
        )


class EnrolRule:
    """Decides :class:`Enrolment`: a code is good for one certificate."""

    def __init__(self, ca: AccessCa) -> None:
        self._ca = ca

    def __call__(self, moment: Moment, store: Reading, request: Enrolment) -> Outcome:
        """Refuses a code that is wrong, used or too old, all in the same words, and a request that does not verify."""
        row = find_invitation(store, request.name, request.code, moment.now)
        if row is None:
            raise Refusal(
                Code.NOT_INVITED,
                "no invitation with this code is open",
                next_step="Ask the owner for a new one: a code is good for one enrolment and some hours",
            )
        try:
            spki = check_csr(request.csr, algorithm="p256")
        except InputError as problem:
            raise Refusal(Code.BAD_REQUEST, str(problem)) from None
        certificate = self._ca.issue_client(
            common_name=request.name,
            spki=spki,
            number=certificate_number(moment.random(_NUMBER_BYTES)),
            now=moment.now,
        )
        private = {
            "name": request.name,
            "certificate": sha256_hex(certificate),
            "valid_until": to_text(moment.now + CLIENT_LIFE),
        }
        result = Enrolled(name=request.name, role=row["role"], certificate=certificate)
        return Outcome((Event(ACCOUNT_ENROLLED, private),), result)


class SuspendRule:
    """Decides :class:`SuspendAccount`."""

    def __call__(self, moment: Moment, store: Reading, command: SuspendAccount) -> Outcome:
        """Refuses an account that is unknown or suspended, and the account of who asks: somebody must stay in."""
        row = _account(store, command.name)
        if row["state"] == AccountState.SUSPENDED:
            raise Refusal(Code.WRONG_STATE, f"account {command.name} is suspended already")
        if command.name == moment.actor:
            raise Refusal(Code.WRONG_STATE, "nobody suspends their own account", next_step="Ask another owner")
        return Outcome((_event(ACCOUNT_SUSPENDED, command),), Done(state="suspended"))


class ResumeRule:
    """Decides :class:`ResumeAccount`."""

    def __call__(self, moment: Moment, store: Reading, command: ResumeAccount) -> Outcome:
        """Refuses an account that is unknown or not suspended."""
        row = _account(store, command.name)
        if row["state"] != AccountState.SUSPENDED:
            raise Refusal(Code.WRONG_STATE, f"account {command.name} is {row['state']}, not suspended")
        state = AccountState.ACTIVE if row["certificate"] is not None else AccountState.INVITED
        return Outcome((_event(ACCOUNT_RESUMED, command, state=state.value),), Done(state=state.value))


def _account(store: Reading, name: str) -> Row:
    row = store.get("accounts", name=name)
    if row is None:
        raise Refusal(Code.UNKNOWN_ACCOUNT, f"there is no account {name}", next_step="See 'imprint account list'")
    return row


def _event(kind: str, command: SuspendAccount | ResumeAccount, **more: str) -> Event:
    return Event(kind, {"name": command.name, "reason": command.reason, **more})
