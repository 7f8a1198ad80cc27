"""Claiming: a unit gets its place in the lot, its serial number and its values."""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.outcome import Event, Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.catalogue import Catalogue, PinnedLot
from imprint.authority.production.entries import UNIT_CHALLENGED, UNIT_CLAIMED, UNIT_EXPIRED, UNIT_RECLAIMED
from imprint.authority.production.life_cycle import LIVE, Move, State, next_state
from imprint.authority.production.pools import Pool, value_at
from imprint.authority.production.revocation import find_revocation
from imprint.clock import to_text
from imprint.encoding import from_hex
from imprint.errors import FormatError, InputError
from imprint.formats.x509 import certificate_number, parse_serial
from imprint.protocol.answers import Challenged, Claimed
from imprint.protocol.intentions import ClaimUnit
from imprint.protocol.refusals import Code

CHALLENGE_SIZE = 32
NUMBER_SIZE = 16
MAX_RUN = 100
ALLOTMENTS_A_PLACE = 2
SPARE_ALLOTMENTS = 20
MOST_SKIPPED = 10_000


class ClaimRule:
    """Decides :class:`ClaimUnit`. One live claim for a hardware ID; a second claimant marks the first contested, but
    where the unit can prove itself: there it gets a challenge."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __call__(self, moment: Moment, store: Reading, request: ClaimUnit) -> Outcome:
        """Refuses with unknown-lot, lot-closed, grant-used-up, already-…, contested, wrong-state, serial-…, pool-…"""
        _check_shape(request)
        lot = self._catalogue.open_lot(store, request.lot)
        unit = latest_unit(store, request.hardware_id)
        expired: tuple[Event, ...] = ()
        frees_a_place = False
        if unit is not None:
            if _may_go_on(unit, moment, request):
                return claim_again(moment, unit, request.run, UNIT_RECLAIMED)
            if can_prove_itself(store, unit):
                return _challenge(moment, request, unit)
            if _lease_is_over(unit, moment):
                expired = (expire(unit),)
                frees_a_place = unit["lot"] == request.lot
            else:
                _refuse_revoked(store, unit)
                _refuse_unless_free(unit, moment)
        if not frees_a_place:
            expired = (*expired, *self._make_room(moment, store, lot))
        return _claim(moment, store, lot, request, unit, expired)

    @staticmethod
    def _make_room(moment: Moment, store: Reading, lot: PinnedLot) -> tuple[Event, ...]:
        """No event when there is a free place; the end of one expired lease when that frees one; else a refusal."""
        row = lot.row
        if row["in_work"] + row["shipped"] + row["scrapped"] + row["quarantined"] < row["granted"] + row["refunded"]:
            return ()
        stale = store.expired_claim(row["lot"], moment.time)
        if stale is None:
            raise Refusal(
                Code.GRANT_USED_UP,
                f"all {row['granted'] + row['refunded']} units of lot {row['lot']} are taken",
                next_step="Ask the owner for another lot; see 'imprint lot show'",
            )
        return (expire(stale),)


def latest_unit(store: Reading, hardware_id: str) -> Row | None:
    """The newest epoch of a hardware ID, or None."""
    rows = store.find("units", hardware_id=hardware_id)
    return rows[-1] if rows else None


def _check_shape(request: ClaimUnit) -> None:
    try:
        size = len(from_hex(request.hardware_id, subject="hardware ID"))
    except FormatError as problem:
        raise Refusal(Code.BAD_REQUEST, str(problem)) from None
    if not 4 <= size <= 32:
        raise Refusal(Code.BAD_REQUEST, f"a hardware ID has 4 to 32 bytes, not {size}")
    if not 0 < len(request.run) <= MAX_RUN or not request.run.isprintable():
        raise Refusal(Code.BAD_REQUEST, f"a run's name has 1 to {MAX_RUN} printable characters")


def _may_go_on(unit: Row, moment: Moment, request: ClaimUnit) -> bool:
    """The same run of the same station, or a unit that an officer has freed for whoever holds it."""
    state = State(unit["state"])
    return bool(
        unit["lot"] == request.lot
        and next_state(state, Move.CLAIM) == state
        and not unit["contested"]
        and (unit["run"] == "" or (unit["run"] == request.run and unit["station"] == moment.actor))
    )


def can_prove_itself(store: Reading, unit: Row) -> bool:
    """In work with a certified key, and nothing is wrong with it: what has this key is the unit, wherever it is."""
    return (
        unit["state"] in (State.CERTIFIED, State.PERMITTED)
        and not unit["contested"]
        and find_revocation(store, unit) is None
    )


def _refuse_revoked(store: Reading, unit: Row) -> None:
    """A shipped unit whose identity is dead has nothing left that a clone could take: nobody is marked."""
    if unit["state"] == State.COMPLETE and find_revocation(store, unit) is not None:
        raise Refusal(
            Code.REVOKED,
            f"hardware ID {unit['hardware_id']} has shipped, and its certificate is revoked",
            next_step="Keep the board aside; the owner decides what becomes of it",
        )


def _lease_is_over(unit: Row, moment: Moment) -> bool:
    return bool(unit["state"] == State.CLAIMED and not unit["contested"] and unit["lease_until"] < moment.time)


def contested_fields(unit: Row) -> dict[str, Any]:
    """The unit that a refusal marks as contested."""
    return {name: unit[name] for name in ("hardware_id", "epoch", "lot")}


def second_claimant(unit: Row, *, ours: bool) -> Refusal:
    """The clone may have come first, so the first claimant is marked as well. Only ``ours`` is described."""
    complete = unit["state"] == State.COMPLETE
    name = f"unit {unit['serial']} of lot {unit['lot']} ({unit['state']})" if ours else "in use elsewhere"
    return Refusal(
        Code.ALREADY_COMPLETE if complete else Code.ALREADY_CLAIMED,
        f"hardware ID {unit['hardware_id']} is {name}; both are suspect now",
        next_step="Keep this board aside and tell the security officer: one of the two is a clone, or the unit was "
        "started again without its journal",
        private={"contested": contested_fields(unit)},
    )


def _refuse_unless_free(unit: Row, moment: Moment) -> None:
    state = State(unit["state"])
    if state in LIVE and state is not State.QUARANTINED:
        raise second_claimant(unit, ours=unit["station"] == moment.actor)
    if unit["contested"]:
        raise Refusal(
            Code.CONTESTED,
            f"unit {unit['serial']} is contested: two boards reported this hardware ID",
            next_step="A security officer decides: 'imprint unit clear'",
        )
    if next_state(state, Move.CLAIM) is None:
        raise Refusal(Code.WRONG_STATE, f"unit {unit['serial']} is {state}", next_step="See 'imprint unit show'")


def expire(unit: Row) -> Event:
    """The end of a claim's lease: the place goes back to the lot."""
    names = ("hardware_id", "epoch", "lot")
    return Event(UNIT_EXPIRED, {**{name: unit[name] for name in names}, "before": State.CLAIMED.value})


def _challenge(moment: Moment, request: ClaimUnit, unit: Row) -> Outcome:
    """It lies in this entry alone. The unit keeps its own, so that the station that holds it can go on."""
    challenge = moment.random(CHALLENGE_SIZE)
    private = {
        "hardware_id": unit["hardware_id"],
        "epoch": unit["epoch"],
        "run": request.run,
        "fence": unit["fence"],
        "unit_challenge": unit["challenge"],
        "challenge": challenge.hex(),
    }
    return Outcome((Event(UNIT_CHALLENGED, private),), Challenged(challenge=challenge))


def claim_again(moment: Moment, unit: Row, run: str, type_: str, proof: Mapping[str, str] | None = None) -> Outcome:
    """The same place again. The fence rises, so that a request of the earlier attempt comes too late."""
    challenge = moment.random(CHALLENGE_SIZE)
    private = {
        **(proof or {}),
        "hardware_id": unit["hardware_id"],
        "epoch": unit["epoch"],
        "state": unit["state"],
        "run": run,
        "fence": unit["fence"] + 1,
        "lease_until": unit["lease_until"],
        "challenge": challenge.hex(),
    }
    result = Claimed(
        state=unit["state"],
        serial=unit["serial"],
        fence=unit["fence"] + 1,
        values=json.loads(unit["unit_values"]),
        challenge=challenge,
    )
    return Outcome((Event(type_, private),), result)


def _claim(
    moment: Moment, store: Reading, lot: PinnedLot, request: ClaimUnit, unit: Row | None, expired: tuple[Event, ...]
) -> Outcome:
    allotted = _allot(store, lot, request)
    challenge = moment.random(CHALLENGE_SIZE)
    private: dict[str, Any] = {
        **allotted,
        "hardware_id": request.hardware_id,
        "epoch": unit["epoch"] if unit else 1,
        "lot": request.lot,
        "product": lot.product.name,
        "before": State.RELEASED.value if unit else None,
        "run": request.run,
        "fence": unit["fence"] + 1 if unit else 1,
        "lease_until": to_text(moment.now + timedelta(minutes=lot.product.file.lease_minutes)),
        "challenge": challenge.hex(),
        **fresh_certificate(moment),
    }
    result = Claimed(
        state=State.CLAIMED,
        serial=allotted["serial"],
        fence=private["fence"],
        values=allotted["values"],
        challenge=challenge,
    )
    return Outcome((*expired, Event(UNIT_CLAIMED, private)), result)


def fresh_certificate(moment: Moment) -> dict[str, str]:
    """Number and notBefore of an epoch's certificate. Stored before anything is signed with them: signing again gives
    the same identity."""
    return {
        "number": f"{certificate_number(moment.random(NUMBER_SIZE)):x}",
        "not_before": to_text(moment.now.replace(microsecond=0)),
    }


def _allot(store: Reading, lot: PinnedLot, request: ClaimUnit) -> dict[str, Any]:
    """The serial number and values: those that this hardware was given before, or the next ones."""
    product = lot.product
    known = store.get("assignments", product=product.name, hardware_id=request.hardware_id)
    if known is not None:
        if product.scanned_serials and request.scanned_serial != known["serial"]:
            raise Refusal(
                Code.SERIAL_REFUSED,
                f"this unit was given serial number {known['serial']}, not {request.scanned_serial}",
                next_step="Put the right label on the board",
            )
        values = json.loads(known["unit_values"])
        return {"serial": known["serial"], "values": values, "first_time": False}
    _refuse_too_many(lot)
    next_index = {row["pool"]: row["next"] for row in store.find("pools", product=product.name)}
    drawn: dict[str, tuple[int, int]] = {}
    values = {}
    for pool in product.pools():
        start = next_index[pool.pool]
        index = _free_index(store, product.name, pool, start)
        drawn[pool.pool] = (start, index + 1)
        values[pool.pool] = value_at(pool, index)
    serial = _scanned_serial(product.file.serials, request) if product.scanned_serials else values.pop("serial")
    if store.get("given_values", kind="serial", value=serial) is not None:
        raise Refusal(
            Code.SERIAL_REFUSED,
            f"serial {serial} was given to another unit",
            next_step="Two boards with one label: keep both aside",
        )
    kinds = {pool.pool: value_kind(product.name, pool) for pool in product.pools()}
    given = [{"kind": kinds[name], "value": value} for name, value in values.items()]
    return {"serial": serial, "values": values, "first_time": True, "given": given, "drawn": drawn}


def _refuse_too_many(lot: PinnedLot) -> None:
    """Values never go back to their pools, so claiming and releasing again and again must come to an end."""
    row = lot.row
    if row["allotted"] >= most_allotted(row["granted"] + row["refunded"]):
        raise Refusal(
            Code.ALLOTTED_OUT,
            f"lot {row['lot']} has given values to {row['allotted']} boards, for {row['granted']} places",
            next_step="Find out why so many boards fail; the owner can create another lot",
        )


def most_allotted(places: int) -> int:
    """To how many boards a lot of so many places gives values."""
    return ALLOTMENTS_A_PLACE * places + SPARE_ALLOTMENTS


def _free_index(store: Reading, product: str, pool: Pool, start: int) -> int:
    """The next index whose value was not given elsewhere: another product's labels may look like ours."""
    for index in range(start, min(pool.size, start + MOST_SKIPPED)):
        if store.get("given_values", kind=value_kind(product, pool), value=value_at(pool, index)) is None:
            return index
    raise Refusal(
        Code.POOL_EMPTY,
        f"pool {pool.pool} of {product} has no value left",
        next_step="The owner must add a product with a new range",
    )


def value_kind(product: str, pool: Pool) -> str:
    """Addresses and serial numbers are unique everywhere, the values of a list within their product."""
    return pool.kind if pool.kind != "list" else f"{product}/{pool.pool}"


def _scanned_serial(spec: Any, request: ClaimUnit) -> str:
    label = request.scanned_serial
    if label is None:
        raise Refusal(Code.SERIAL_REFUSED, "this product's serial numbers are scanned, and none was")
    try:
        serial = parse_serial(label)
    except InputError as problem:
        raise Refusal(Code.SERIAL_REFUSED, str(problem)) from None
    if not re.fullmatch(spec.scanned, serial):
        raise Refusal(Code.SERIAL_REFUSED, f"the label {serial} does not match {spec.scanned}")
    return serial
