"""Deciding how a ledger goes on that is older than what it had decided."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from imprint.authority.access.account import AccountState
from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.outcome import Event, Moment, Outcome
from imprint.authority.decisions.transaction import Reading
from imprint.authority.issuance.crl import last_crl
from imprint.authority.issuance.entries import CRL_SIGNED
from imprint.authority.issuance.issuer import DeviceCa
from imprint.authority.production.claim import most_allotted
from imprint.authority.recovery.entries import LEDGER_RECONCILED
from imprint.authority.recovery.lost_unit import ReconcileLedger
from imprint.authority.recovery.recovered_units import RecoveredUnits
from imprint.authority.recovery.values import may_be_allotted
from imprint.clock import from_text, to_text
from imprint.encoding import sha256_hex
from imprint.formats.crl import Reason, Revoked
from imprint.formats.merkle import leaf_hash, root_hash
from imprint.protocol.answers import Done
from imprint.protocol.commands import CRL_DAYS

# Nobody signs a million lists between two backups; a number has room for far more (RFC 5280 section 5.2.3).
SKIPPED_LISTS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What a declaration leads to: the ledger's own event, one for each change of a unit, and what people are told."""

    events: tuple[Event, ...]
    revoked: tuple[Revoked, ...]  # beside those that the store knows
    units: tuple[dict[str, str], ...]
    accounts: tuple[str, ...]
    pools: tuple[dict[str, Any], ...]
    lots: tuple[dict[str, Any], ...]
    unexplained: int
    findings: tuple[str, ...]


class ReconcileRule:
    """Decides :class:`ReconcileLedger`. It refuses nothing: whoever asks has compared ledger and checkpoints."""

    def __init__(self, ca: DeviceCa) -> None:
        self._ca = ca

    def __call__(self, moment: Moment, store: Reading, command: ReconcileLedger) -> Outcome:
        """The log's next name is the state that it leads to."""
        recovery = recover(moment, store, command)
        events = (*recovery.events, self._list(moment, store, command, recovery))
        return Outcome(events, Done(state=command.origin))

    def _list(self, moment: Moment, store: Reading, command: ReconcileLedger, recovery: Recovery) -> Event:
        """A new revocation list, whose number is greater than any that may have been published."""
        last = last_crl(store)
        known = (last["number"] if last is not None else 0, command.crl.number if command.crl is not None else 0)
        number = max(known) + SKIPPED_LISTS
        this_update = moment.now.replace(microsecond=0)
        next_update = this_update + timedelta(days=CRL_DAYS)
        revoked = [
            *(
                Revoked(number=int(row["number"], 16), time=from_text(row["revoked"]), reason=Reason(row["reason"]))
                for row in store.find("revocations")
            ),
            *recovery.revoked,
        ]
        crl = self._ca.sign_crl(number=number, this_update=this_update, next_update=next_update, revoked=revoked)
        times = {"this_update": to_text(this_update), "next_update": to_text(next_update)}
        public = {"number": number, "crl": sha256_hex(crl), **times}
        return Event(CRL_SIGNED, {"revoked": len(revoked)}, public=public, blobs=(crl,))


def recover(moment: Moment, store: Reading, command: ReconcileLedger) -> Recovery:
    """What the declaration would lead to, but for the revocation list, which needs a key."""
    dead = {row["number"] for row in store.find("revocations")}
    published = [] if command.crl is None else [one for one in command.crl.revoked if f"{one.number:x}" not in dead]
    units = RecoveredUnits(moment, store, dead | {f"{one.number:x}" for one in published})
    units.add(command.units)
    if command.lost_journals:
        units.quarantine_claimed()
    unexplained = max(0, command.known.size - store.size() - command.decisions)
    accounts = [row["name"] for row in store.find("accounts") if row["state"] != AccountState.SUSPENDED]
    unseen = _unseen(store, command, unexplained)
    pools = [one for product, count in unseen.items() for one in units.values.skipped(product, count)]
    lots = units.places.withdrawn() if command.lost_journals else []
    rows = [*(_row(command, one) for one in published), *units.orphans]
    private = {
        "stations": list(command.stations),
        "lost_journals": list(command.lost_journals),
        "lost_grants": [list(one) for one in command.lost_grants],
        "decisions": command.decisions,
        "accounts": accounts,
        "pools": pools,
        "lots": lots,
        "revocations": rows,
        "findings": [*command.findings, *units.findings],
    }
    ended = [Revoked(number=int(number, 16), time=moment.now, reason=reason) for number, reason in units.revoked]
    return Recovery(
        events=(Event(LEDGER_RECONCILED, private, public=_public(store, command)), *units.events),
        revoked=(*published, *ended),
        units=tuple(units.outcomes),
        accounts=tuple(accounts),
        pools=tuple(pools),
        lots=tuple(lots),
        unexplained=unexplained,
        findings=(*command.findings, *units.findings),
    )


def _public(store: Reading, command: ReconcileLedger) -> dict[str, Any]:
    """So much do outsiders learn: the name that ended and its newest checkpoint, and how much of it goes on."""
    leaves = [leaf_hash(data) for _, data, _ in store.entries()]
    known = command.known
    return {
        "origin": command.origin,
        "before": {"origin": known.origin, "size": known.size, "root": known.root.hex()},
        "kept": {"size": len(leaves), "root": root_hash(leaves).hex()},
    }


def _unseen(store: Reading, command: ReconcileLedger, unexplained: int) -> dict[str, int]:
    """For each product, how many boards may have been given values that no journal shows: each question without an
    answer and each entry that nobody shows may have been one; with a lost journal, all that the lots could still give.
    """
    unseen = {row["product"]: command.unanswered + unexplained for row in store.find("products")}
    if command.lost_journals:
        for lot in store.find("lots", state="open"):
            unseen[lot["product"]] += may_be_allotted(lot)
    for product, count in command.lost_grants:
        unseen[product] += most_allotted(count)
    return unseen


def _row(command: ReconcileLedger, one: Revoked) -> Row:
    assert command.crl is not None
    note = f"from revocation list {command.crl.number}"
    return {"number": f"{one.number:x}", "revoked": to_text(one.time), "reason": one.reason.value, "note": note}
