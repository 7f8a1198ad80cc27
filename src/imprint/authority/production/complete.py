"""Completing: the evidence is judged, and the birth record is signed and logged."""

import json
from collections.abc import Container

from imprint.authority.decisions.outcome import Event, Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.production.catalogue import Catalogue
from imprint.authority.production.custody import custody_of
from imprint.authority.production.entries import UNIT_COMPLETED
from imprint.authority.production.evidence import Evidence, judge, open_statement, station_evidence, unit_evidence
from imprint.authority.production.held_unit import HeldUnit, hold
from imprint.authority.production.life_cycle import Move, State
from imprint.encoding import sha256_hex
from imprint.errors import FormatError
from imprint.formats import birth_record
from imprint.formats.dsse import IN_TOTO, sign_envelope
from imprint.formats.provisioning_group import UnitStatement
from imprint.formats.x509 import public_key_of
from imprint.keys.signer import Signer
from imprint.protocol.answers import Completed
from imprint.protocol.intentions import CompleteUnit, KeyOrigin
from imprint.protocol.refusals import Code


class CompleteRule:
    """Decides :class:`CompleteUnit`."""

    def __init__(self, catalogue: Catalogue, record_signer: Signer, boot_key: bytes) -> None:
        self._catalogue = catalogue
        self._signer = record_signer
        self._key_id = sha256_hex(record_signer.public_key)
        self._boot_key_hash = sha256_hex(boot_key)

    def __call__(self, moment: Moment, store: Reading, request: CompleteUnit) -> Outcome:
        """Refuses with evidence-contradicts, evidence-too-weak, bad-request and what :func:`hold` refuses."""
        unit = hold(self._catalogue, moment, store, request, Move.COMPLETE)
        least = unit.lot.product.least_grades()
        if unit.before is State.CERTIFIED and "debug" in least:
            raise Refusal(Code.WRONG_STATE, f"unit {unit.row['serial']} has not been permitted to lock its debug port")
        statement = _statement(store, unit, request)
        found = [*unit_evidence(statement, moment.time), *station_evidence(request.observed, moment.actor)]
        judge(found, self._expected(unit, least), least)
        _check_counters(unit, statement, request)
        envelope = self._sign(_encoded(self._record(moment, store, unit, request, statement, found)))
        event = Event(UNIT_COMPLETED, unit.key(), public={"record": sha256_hex(envelope)}, blobs=(envelope,))
        return Outcome((event,), Completed(record=envelope))

    def _expected(self, unit: HeldUnit, least: Container[str]) -> dict[str, str]:
        """A product may do without fuses: what it does not ask for may be as it is, and the record says how it is."""
        fused = {"boot-key": self._boot_key_hash, "debug": "locked"}
        return {
            "hardware-id": str(unit.row["hardware_id"]),
            "identity": str(unit.row["certificate"]),
            "firmware": unit.lot.firmware.image_hash.hex(),
            "self-test": "passed",
            **{claim: value for claim, value in fused.items() if claim in least},
        }

    def _sign(self, payload: bytes) -> bytes:
        return sign_envelope(IN_TOTO, payload, key_id=self._key_id, sign=self._signer.sign).encode()

    def _record(
        self,
        moment: Moment,
        store: Reading,
        unit: HeldUnit,
        request: CompleteUnit,
        statement: UnitStatement,
        found: list[Evidence],
    ) -> birth_record.BirthRecord:
        row, lot = unit.row, unit.lot
        origin = KeyOrigin(row["origin"])
        custody = custody_of(origin, boot_key_signed=statement.boot_key.hex() == self._boot_key_hash)
        return birth_record.BirthRecord(
            product=lot.product.name,
            lot=row["lot"],
            serial=row["serial"],
            hardware_id=row["hardware_id"],
            epoch=row["epoch"],
            values=json.loads(row["unit_values"]),
            key=birth_record.Key(
                origin=origin.value,
                algorithm=lot.product.profile.key_algorithm,
                spki_sha256=row["public_key"],
                custody=custody.sentence,
                seen_by=custody.seen_by,
            ),
            certificate_sha256=row["certificate"],
            firmware=birth_record.Firmware(
                image_sha256=lot.row["firmware"],
                image_hash=lot.firmware.image_hash.hex(),
                version=str(lot.firmware.version),
                security_counter=lot.firmware.security_counter or 0,
            ),
            evidence=tuple(
                birth_record.Evidence(
                    claim=one.claim,
                    value=one.value,
                    grade=one.grade.value,
                    time=one.time,
                    source=one.source,
                )
                for one in found
            ),
            station=moment.actor,
            recipe_sha256=lot.row["recipe"],
            measurements=tuple(
                birth_record.Measurement(
                    step=one.step,
                    name=one.name,
                    value=one.value,
                    unit=one.unit,
                    low=one.low,
                    high=one.high,
                    passed=one.passed,
                )
                for one in request.measurements
            ),
            session_counter=statement.session,
            claim_leaf=row["claim_leaf"],
            certify_leaf=row["certify_leaf"],
            made_at=moment.time,
        )


def _encoded(record: birth_record.BirthRecord) -> bytes:
    try:
        return birth_record.encode(record)
    except FormatError as problem:  # an observation or a measurement of the station's
        raise Refusal(Code.BAD_REQUEST, f"this cannot stand in a record: {problem}") from None


def _statement(store: Reading, unit: HeldUnit, request: CompleteUnit) -> UnitStatement:
    spki = public_key_of(store.blob(unit.row["certificate"]))
    try:
        return open_statement(request.statement, request.signature, spki, bytes.fromhex(unit.row["challenge"]))
    except FormatError as problem:
        raise Refusal(Code.BAD_REQUEST, str(problem)) from None


def _check_counters(unit: HeldUnit, statement: UnitStatement, request: CompleteUnit) -> None:
    wanted = unit.lot.firmware.security_counter or 0
    if statement.security < wanted:
        raise Refusal(
            Code.EVIDENCE_CONTRADICTS,
            f"the unit's security counter is {statement.security}, below the firmware's {wanted}",
        )
    failed = [one.name for one in request.measurements if not one.passed]
    if failed:
        raise Refusal(Code.EVIDENCE_CONTRADICTS, f"measurements out of their limits: {', '.join(failed)}")
