"""Taking over: a unit that was certified at another bench goes on at this one, because it says itself that it is there.

The challenge that the unit answers lies in the entry of the claim that was given it, and nowhere else: who asks for one
changes nothing. It stands for as long as nothing happens to the unit, so it is good for one take-over at most.
"""

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.outcome import Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.ledger.envelope import OpenedEntry, open_entry
from imprint.authority.production.catalogue import Catalogue
from imprint.authority.production.claim import can_prove_itself, claim_again, latest_unit, second_claimant
from imprint.authority.production.entries import UNIT_CHALLENGED, UNIT_TAKEN_OVER
from imprint.authority.production.evidence import is_signed, open_statement
from imprint.authority.production.life_cycle import State
from imprint.authority.production.revocation import find_revocation
from imprint.errors import FormatError
from imprint.formats.x509 import public_key_of
from imprint.protocol.intentions import TakeOverUnit
from imprint.protocol.refusals import Code


class TakeOverRule:
    """Decides :class:`TakeOverUnit`. A board without the unit's key marks it as contested: one of them is a clone."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __call__(self, moment: Moment, store: Reading, request: TakeOverUnit) -> Outcome:
        """Refuses with unknown-lot, lot-closed, stale-fence, already-claimed, evidence-contradicts, bad-request; and
        with not-claimed, after a proof that holds, when the place is in another lot."""
        self._catalogue.open_lot(store, request.lot)
        unit = latest_unit(store, request.hardware_id)
        asked = _find_challenge(store, moment, request)
        if unit is None or asked is None or unit["epoch"] != asked.private["epoch"]:
            raise _stale(request)
        _refuse_clone(moment, store, unit, request)
        if not _stands(store, unit, asked):
            raise _stale(request)
        _refuse_unproven(moment, store, unit, request, bytes.fromhex(asked.private["challenge"]))
        if unit["lot"] != request.lot:
            raise Refusal(
                Code.NOT_CLAIMED,
                f"unit {unit['serial']} has its place in lot {unit['lot']}, not in {request.lot}",
                next_step=f"Run it in lot {unit['lot']}",
            )
        proof = {
            "challenged_leaf": asked.leaf,
            "statement": request.statement.hex(),
            "signature": request.signature.hex(),
        }
        return claim_again(moment, unit, asked.private["run"], UNIT_TAKEN_OVER, proof)


def _find_challenge(store: Reading, moment: Moment, request: TakeOverUnit) -> OpenedEntry | None:
    """The entry that gave this station a challenge for this hardware ID."""
    claim = store.get("requests", actor=moment.actor, request_id=request.claim)
    if claim is None:
        return None
    entry = open_entry(*store.entry(claim["leaf"]), subject=f"entry {claim['leaf']}")
    if entry.type != UNIT_CHALLENGED or entry.private["hardware_id"] != request.hardware_id:
        return None
    return entry


def _stale(request: TakeOverUnit) -> Refusal:
    return Refusal(
        Code.STALE_FENCE,
        f"hardware ID {request.hardware_id} has moved on since the challenge of claim {request.claim}",
        next_step="Claim the unit again",
    )


def _refuse_clone(moment: Moment, store: Reading, unit: Row, request: TakeOverUnit) -> None:
    """A board that does not have the key is a clone, however far the unit has come meanwhile. A unit in quarantine is
    not marked: it waits for the officer already; nor is a dead identity, which nobody could take."""
    live = unit["state"] in (State.CERTIFIED, State.PERMITTED, State.COMPLETE) and find_revocation(store, unit) is None
    if live and not is_signed(request.statement, request.signature, _key(store, unit)):
        raise second_claimant(unit, ours=unit["station"] == moment.actor)


def _key(store: Reading, unit: Row) -> bytes:
    return public_key_of(store.blob(unit["certificate"]))


def _stands(store: Reading, unit: Row, asked: OpenedEntry) -> bool:
    """Whether the unit is where it was. Each step that its holder takes with it gives it another challenge."""
    then = (asked.private["fence"], asked.private["unit_challenge"])
    return (unit["fence"], unit["challenge"]) == then and can_prove_itself(store, unit)


def _refuse_unproven(moment: Moment, store: Reading, unit: Row, request: TakeOverUnit, challenge: bytes) -> None:
    """The key under another hardware ID is a clone, too. An answer to another challenge is the unit's word, but nobody
    knows when and where it was given: refused without a mark."""
    try:
        statement = open_statement(request.statement, request.signature, _key(store, unit), challenge)
    except FormatError as problem:
        raise Refusal(Code.BAD_REQUEST, str(problem)) from None
    if statement.hw.hex() != request.hardware_id:
        raise second_claimant(unit, ours=unit["station"] == moment.actor)
