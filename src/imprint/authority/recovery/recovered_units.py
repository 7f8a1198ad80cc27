"""What becomes of each unit that was made, or begun, in the lost time.

A certificate that we signed is a fact: its unit is shipped with its record, in quarantine without one, and where nobody
accounts for it (its lot is unknown, closed or full, or its serial number or key is another unit's) the certificate is
revoked and the unit may start again. A claim is a station's word: it uses its values up, and takes no place. So all
certificates come before all claims: whatever a station says, it says about what they have left.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.outcome import Event, Moment
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.claim import CHALLENGE_SIZE, fresh_certificate, latest_unit
from imprint.authority.production.life_cycle import LIVE, State
from imprint.authority.recovery.entries import UNIT_RECOVERED, no_rows
from imprint.authority.recovery.lost_unit import LostClaim, LostIdentity, LostUnit
from imprint.authority.recovery.places import Places
from imprint.authority.recovery.values import UsedValues
from imprint.encoding import canonical, sha256_hex
from imprint.formats.crl import Reason

# States in which a unit without its lost record waits for it.
_UNFINISHED: Final = frozenset({State.CERTIFIED, State.PERMITTED, State.QUARANTINED})
_IN_WORK: Final = frozenset({State.CLAIMED, State.CERTIFIED, State.PERMITTED, State.REWORK})
_NOBODYS: Final = "made in the lost time, and nobody accounts for it"
_BLANK: Final = ("origin", "public_key", "certificate", "record", "certify_leaf", "complete_leaf")


class RecoveredUnits:
    """Folds lost units into events. ``revocations`` are numbers that are revoked already."""

    def __init__(self, moment: Moment, store: Reading, revocations: set[str]) -> None:
        self.events: list[Event] = []
        self.outcomes: list[dict[str, str]] = []
        self.revoked: list[tuple[str, Reason]] = []  # numbers and reasons, in the order in which they end
        self.orphans: list[Row] = []  # revocations of certificates that no row of a unit can tell of
        self.findings: list[str] = []
        self.places: Final = Places(store)
        self.values: Final = UsedValues(store)
        self._moment = moment
        self._store = store
        self._dead = set(revocations)
        self._keys: dict[str, str] = {}
        self._assigned: dict[tuple[str, str], Row] = {}
        self._seen: set[str] = set()

    def add(self, units: Sequence[LostUnit]) -> None:
        """Take all units, once; each hardware ID comes once. What the records prove comes first, then the other
        certificates, and the stations' word last."""
        rows = {unit.hardware_id: latest_unit(self._store, unit.hardware_id) for unit in units}
        self._seen |= rows.keys()
        for unit in sorted(units, key=_has_no_record):
            for identity in unit.identities:
                rows[unit.hardware_id] = self._add_identity(unit, identity, rows[unit.hardware_id])
        for unit in units:
            row = rows[unit.hardware_id]
            for claim in unit.claims:
                row = self._add_claim(unit, claim, row)
            if row is not None:
                self._add_marks(unit, row)

    def quarantine_claimed(self) -> None:
        """Units that were claimed when the backup was made, and of which no journal tells what became of them: their
        places do not come back by themselves."""
        for row in self._store.find("units", state=State.CLAIMED.value):
            if row["hardware_id"] not in self._seen and self.places.open_lot(row["lot"]) is not None:
                self._emit(row, {**row, "state": State.QUARANTINED.value}, "quarantined")

    # --- certificates ---

    def _add_identity(self, unit: LostUnit, identity: LostIdentity, row: Row | None) -> Row | None:
        certificate = sha256_hex(identity.certificate)
        if row is not None and row["certificate"] == certificate:
            return self._completed(identity, row)
        if self._store.find("units", hardware_id=unit.hardware_id, certificate=certificate):
            return row  # an earlier epoch's
        if row is not None and (row["state"] == State.SCRAPPED or not self._may_move(row)):
            self._revoke_alone(unit, identity)
            return row
        if row is not None and row["certificate"] is not None:
            row = self._superseded(row)
        accounted = self._is_accounted_for(unit, identity, row)
        return self._certified(unit, identity, row) if accounted else self._disowned(unit, identity, row)

    def _completed(self, identity: LostIdentity, row: Row) -> Row:
        if identity.record is None or State(row["state"]) not in _UNFINISHED or not self._may_move(row):
            return row
        after = {**row, "state": State.COMPLETE.value, "record": sha256_hex(identity.record)}
        return self._emit(row, after, "complete", leaves=("complete_leaf",), record=identity.record)

    def _may_move(self, row: Row) -> bool:
        """The sum of a closed lot does not change any more."""
        counted = State(row["state"]) in LIVE
        return not counted or self.places.open_lot(row["lot"]) is not None

    def _superseded(self, row: Row) -> Row:
        """The unit was reworked in the lost time: its earlier certificate was revoked first."""
        revoked = self._end(row["number"], Reason.CESSATION_OF_OPERATION, "started again in the lost time")
        return self._emit(row, {**row, "state": State.SUPERSEDED.value}, "superseded", revoked=revoked)

    def _is_accounted_for(self, unit: LostUnit, identity: LostIdentity, row: Row | None) -> bool:
        lot = self.places.open_lot(identity.lot)
        owner = self.values.owner(identity.serial)
        return (
            lot is not None
            and identity.product in (None, lot["product"])
            and self.places.has_room(identity.lot, row)
            and owner in (None, unit.hardware_id)
            and self._key_owner(identity) in (None, unit.hardware_id)
            and self._values(unit, identity, lot["product"]) is not None
        )

    def _values(self, unit: LostUnit, identity: LostIdentity, product: str) -> Mapping[str, str] | None:
        """The values of a certificate's unit: of its record, of its assignment, or such as a station says and our pools
        could have given; None when there are none that we could sign."""
        if identity.record is not None:
            return identity.values
        given = self._assignment(unit.hardware_id, product)
        if given is not None and given["serial"] == identity.serial:
            known: dict[str, str] = json.loads(given["unit_values"])
            return known
        claims = [claim for claim in reversed(unit.claims) if claim.serial == identity.serial]
        fits = (one.values for one in claims if self.values.could_be_given(unit.hardware_id, product, one))
        return next(fits, None)

    def _assignment(self, hardware_id: str, product: str) -> Row | None:
        known = self._store.get("assignments", product=product, hardware_id=hardware_id)
        return known if known is not None else self._assigned.get((product, hardware_id))

    def _key_owner(self, identity: LostIdentity) -> str | None:
        key = identity.public_key
        known = self._store.get("public_keys", public_key=key)
        return known["hardware_id"] if known is not None else self._keys.get(key)

    def _certified(self, unit: LostUnit, identity: LostIdentity, row: Row | None) -> Row:
        state = State.QUARANTINED if identity.record is None else State.COMPLETE
        lot = self.places.open_lot(identity.lot)
        assert lot is not None
        values = self._values(unit, identity, lot["product"])
        assert values is not None
        after = self._identified(unit, identity, row, state, lot["product"], values)
        leaves = ("claim_leaf", "certify_leaf", *(() if identity.record is None else ("complete_leaf",)))
        return self._emit(
            self._room(row),
            after,
            state.value,
            leaves=leaves,
            record=identity.record,
            certified=(unit, identity),
            **self._allot(
                unit,
                lot["product"],
                LostClaim(lot=lot["lot"], serial=identity.serial, values=values),
                proven=identity.record is not None,
            ),
        )

    def _disowned(self, unit: LostUnit, identity: LostIdentity, row: Row | None) -> Row:
        """The certificate's epoch is over before it began, and the next one may be claimed as any board."""
        lot = self.places.open_lot(identity.lot)
        product = identity.product or (lot["product"] if lot is not None else None)
        known = product if product is not None and self._store.get("products", product=product) else None
        values = identity.values if known is None else self._values(unit, identity, known) or {}
        claim = LostClaim(lot=identity.lot, serial=identity.serial, values=values)
        revoked = self._end(identity.number, Reason.CESSATION_OF_OPERATION, _NOBODYS)
        ended = self._emit(
            self._room(row),
            self._identified(unit, identity, row, State.SUPERSEDED, product or "", values),
            "revoked",
            leaves=("claim_leaf", "certify_leaf"),
            record=identity.record,
            certified=(unit, identity),
            revoked=revoked,
            **self._allot(unit, known, claim, proven=identity.record is not None),
        )
        fresh = {**dict.fromkeys(_BLANK), **fresh_certificate(self._moment), "state": State.RELEASED.value}
        return self._emit(None, {**ended, **fresh, "epoch": ended["epoch"] + 1}, "", leaves=("claim_leaf",))

    def _identified(
        self,
        unit: LostUnit,
        identity: LostIdentity,
        row: Row | None,
        state: State,
        product: str,
        values: Mapping[str, str],
    ) -> dict[str, Any]:
        record = None if identity.record is None else sha256_hex(identity.record)
        return {
            **self._held(unit, row),
            "lot": identity.lot,
            "product": product,
            "serial": identity.serial,
            "unit_values": _text(values),
            "state": state.value,
            "number": identity.number,
            "not_before": identity.not_before,
            "origin": identity.origin,
            "public_key": identity.public_key,
            "certificate": sha256_hex(identity.certificate),
            "record": record,
            "certify_leaf": None,
            "complete_leaf": None,
        }

    def _held(self, unit: LostUnit, row: Row | None) -> dict[str, Any]:
        """The next epoch after one that is over, else the same one."""
        over = row is not None and self._room(row) is None
        epoch = 1 if row is None else row["epoch"] + int(over)
        return {
            "hardware_id": unit.hardware_id,
            "epoch": epoch,
            "station": unit.station,
            "run": unit.run,
            "fence": max(unit.fence, row["fence"] if row is not None else 0),
            "contested": int(unit.contested or (row is not None and bool(row["contested"]))),
            "lease_until": self._moment.time,
            "challenge": self._moment.random(CHALLENGE_SIZE).hex(),
        }

    @staticmethod
    def _room(row: Row | None) -> Row | None:
        """The row that an identity goes into; None when there is none, or its epoch is over."""
        return None if row is None or row["state"] == State.SUPERSEDED else row

    def _revoke_alone(self, unit: LostUnit, identity: LostIdentity) -> None:
        end = self._end(identity.number, Reason.CESSATION_OF_OPERATION, _NOBODYS)
        if end is not None:
            self.orphans.append({**end, "revoked": self._moment.time})
        self.findings.append(
            f"unit {identity.serial} had a second certificate, which its state does not allow: revoked"
        )

    def _end(self, number: str, reason: Reason, note: str) -> Row | None:
        """A revocation, unless there is one."""
        if number in self._dead:
            return None
        self._dead.add(number)
        self.revoked.append((number, reason))
        return {"number": number, "reason": reason.value, "note": note}

    # --- claims ---

    def _add_claim(self, unit: LostUnit, claim: LostClaim, row: Row | None) -> Row:
        lot = self.places.open_lot(claim.lot)
        product = lot["product"] if lot is not None else None
        owner = self.values.owner(claim.serial)
        if owner not in (None, unit.hardware_id):
            self.findings.append(
                f"serial {claim.serial} was given to {owner}, and {unit.station} says to {unit.hardware_id}"
            )
        kept = self._allot(unit, product, claim)
        if (
            owner in (None, unit.hardware_id)
            and product is not None
            and self._assignment(unit.hardware_id, product) is None
        ):
            self.findings.append(
                f"serial {claim.serial} and its values, as {unit.station} says, are not what {product} gives: used up, "
                f"and not assigned to {unit.hardware_id}"
            )
        if row is None:
            given = kept.get("assignment")
            after = {
                **self._held(unit, None),
                **dict.fromkeys(_BLANK),
                **fresh_certificate(self._moment),
                "lot": claim.lot,
                "product": product or "",
                "serial": "" if given is None else given["serial"],
                "unit_values": _text({}) if given is None else given["unit_values"],
                "state": State.RELEASED.value,
            }
            return self._emit(None, after, "released", leaves=("claim_leaf",), **kept)
        return self._emit(row, row, "", **kept) if any(kept.values()) else row

    def _allot(self, unit: LostUnit, product: str | None, claim: LostClaim, *, proven: bool = False) -> dict[str, Any]:
        """What this hardware was given, for good: the first assignment in a product stays. A station's word makes one
        only of what the product could have given; whatever it is, it is used up."""
        owner = self.values.owner(claim.serial)
        fits = proven or (product is not None and self.values.could_be_given(unit.hardware_id, product, claim))
        given = self.values.use_up(unit.hardware_id, product, claim)
        if product is None:
            return {"given": given}
        key = {"product": product, "hardware_id": unit.hardware_id}
        is_new = self._assignment(unit.hardware_id, product) is None
        if not (fits and is_new) or owner not in (None, unit.hardware_id):
            return {"given": given}
        assignment = {**key, "serial": claim.serial, "unit_values": _text(claim.values)}
        self._assigned[product, unit.hardware_id] = assignment
        lot = self.places.open_lot(claim.lot)
        return {"given": given, "assignment": assignment, "allotted": None if lot is None else claim.lot}

    def _add_marks(self, unit: LostUnit, row: Row) -> None:
        """A fence never goes back; a mark and a quarantine hold until an officer has looked."""
        state = State(row["state"])
        after = {**row, "fence": max(row["fence"], unit.fence)}
        after["contested"] = int(unit.contested or bool(row["contested"]))
        if unit.quarantined and state in _IN_WORK and self._may_move(row):
            after["state"] = State.QUARANTINED.value
        if after != row:
            self._emit(row, after, after["state"] if after["state"] != row["state"] else "")

    # --- events ---

    def _emit(
        self,
        before: Row | None,
        after: Mapping[str, Any],
        outcome: str,
        *,
        leaves: tuple[str, ...] = (),
        record: bytes | None = None,
        certified: tuple[LostUnit, LostIdentity] | None = None,
        **kept: Any,
    ) -> Row:
        """One ``unit.recovered``; the row as it will be, but for its leaves."""
        # The names that a store gives are text of a kind of its own, which an entry does not take.
        row = {str(name): value for name, value in after.items()} | {"live": int(State(after["state"]) in LIVE)}
        if before is None:
            unit = {name: value for name, value in row.items() if name not in ("hardware_id", "epoch", *leaves)}
        else:
            changed = {name: value for name, value in row.items() if value != before[name] and name not in leaves}
            unit = {**changed, "state": row["state"], "lot": row["lot"]}
        expect = None if before is None else {name: before[name] for name in ("state", "lot", "fence")}
        private = {"hardware_id": row["hardware_id"], "epoch": row["epoch"], "before": expect, "unit": unit}
        private |= {"leaves": list(leaves), **no_rows(), **kept}
        blobs: tuple[bytes, ...] = () if record is None else (record,)
        if certified is not None:
            blobs = (certified[1].certificate, *blobs)
            private |= self._identity_rows(*certified, epoch=row["epoch"])
        public = {"record": row["record"]} if row["state"] == State.COMPLETE and "complete_leaf" in leaves else {}
        self.places.move(before, row)
        self.events.append(Event(UNIT_RECOVERED, private, public=public, blobs=blobs))
        if outcome:
            self.outcomes.append({"serial": row["serial"], "hardware_id": row["hardware_id"], "becomes": outcome})
        return row

    def _identity_rows(self, unit: LostUnit, identity: LostIdentity, *, epoch: int) -> dict[str, Any]:
        key = identity.public_key
        is_known = self._key_owner(identity) is not None
        self._keys.setdefault(key, unit.hardware_id)
        certificate = {
            "number": identity.number,
            "certificate": sha256_hex(identity.certificate),
            "hardware_id": unit.hardware_id,
            "epoch": epoch,
            "issued": identity.not_before,
        }
        public_key = None if is_known else {"public_key": key, "hardware_id": unit.hardware_id}
        return {"certificate": certificate, "public_key": public_key}


def _has_no_record(unit: LostUnit) -> bool:
    return all(identity.record is None for identity in unit.identities)


def _text(values: Mapping[str, str]) -> str:
    return canonical(dict(values)).decode()
