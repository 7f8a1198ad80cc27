"""The unit that a request is about, held by the station that asks. What every rule after the claim checks first."""

from dataclasses import dataclass

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.outcome import Moment, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.catalogue import Catalogue, PinnedLot
from imprint.authority.production.claim import latest_unit
from imprint.authority.production.life_cycle import Move, State, next_state
from imprint.authority.production.revocation import find_revocation
from imprint.protocol.intentions import CertifyKey, CompleteUnit, PermitStep, QuarantineUnit, ReleaseUnit
from imprint.protocol.refusals import Code

Request = CertifyKey | CompleteUnit | PermitStep | QuarantineUnit | ReleaseUnit


@dataclass(frozen=True, slots=True)
class HeldUnit:
    """A unit's row with its lot, and where the move that was asked for leads."""

    row: Row
    lot: PinnedLot
    before: State
    after: State

    def key(self) -> dict[str, object]:
        """The fields that name the unit in an entry, and the move's two ends."""
        names = ("hardware_id", "epoch", "lot")
        return {**{name: self.row[name] for name in names}, "before": self.before.value, "after": self.after.value}


def hold(
    catalogue: Catalogue, moment: Moment, store: Reading, request: Request, move: Move, *, giving_up: bool = False
) -> HeldUnit:
    """The unit, or a refusal: not-claimed, stale-fence, contested, wrong-state, revoked (checked in this order).

    A station that is ``giving_up`` gets rid of a contested or revoked unit as well.
    """
    lot = catalogue.open_lot(store, request.lot)
    row = latest_unit(store, request.hardware_id)
    if row is None or row["lot"] != request.lot:
        raise Refusal(Code.NOT_CLAIMED, f"hardware ID {request.hardware_id} has no place in lot {request.lot}")
    if row["station"] != moment.actor:  # another station's unit is not described
        raise Refusal(
            Code.STALE_FENCE,
            f"hardware ID {request.hardware_id} is held by another claim",
            next_step="Claim the unit again",
        )
    if row["fence"] != request.fence:
        raise Refusal(
            Code.STALE_FENCE,
            f"unit {row['serial']} has moved on to claim {row['fence']}; this request is from claim {request.fence}",
            next_step="Claim the unit again",
        )
    if row["contested"] and not giving_up:
        raise Refusal(
            Code.CONTESTED,
            f"unit {row['serial']} is contested: another board reported the same hardware ID",
            next_step="Keep the board aside; a security officer decides: 'imprint unit clear'",
        )
    before = State(row["state"])
    after = next_state(before, move)
    if after is None:
        raise Refusal(Code.WRONG_STATE, f"unit {row['serial']} is {before}, so it cannot {move}")
    if not giving_up and find_revocation(store, row) is not None:
        raise Refusal(
            Code.REVOKED,
            f"the certificate of unit {row['serial']} is revoked",
            next_step="Keep the board aside; the owner decides what becomes of it",
        )
    return HeldUnit(row, lot, before, after)
