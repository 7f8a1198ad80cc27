"""Certificates that end: by a revocation, or with their unit's scrapping. Units and counts are another matter."""

import csv
import io

import pytest

from imprint.authority.production.commands import CloseLotUnder
from imprint.authority.production.entries import UNIT_REVOKED
from imprint.authority.production.export import closed_lot, lot_files
from imprint.errors import ConflictError, RefusedError
from imprint.formats.crl import Reason
from imprint.protocol.commands import ClearUnit, RevokeUnit, ScrapUnit
from imprint.protocol.refusals import Code
from soft_factory import LOT, OTHER_LOT, Bench, Factory, new_unit

REVOKE = RevokeUnit(serial="SN-0001", reason=Reason.KEY_COMPROMISE, note="read out of a stolen board")
SCRAP = ScrapUnit(serial="SN-0001", reason="dropped")


def close(factory: Factory) -> None:
    factory.platform.command(CloseLotUnder(lot=LOT, checkpoint=factory.platform.checkpoint().note))


@pytest.mark.parametrize("state", ["certified", "permitted", "quarantined", "complete"])
def test_revoking_ends_the_certificate_and_leaves_the_unit(factory: Factory, state: str) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.to(state, unit)
    before, lot, size = factory.unit(unit), factory.row("lots", lot=LOT), factory.size()
    assert factory.platform.command(REVOKE) == "revoked"
    assert (factory.unit(unit), factory.row("lots", lot=LOT)) == (before, lot)
    (entry,) = factory.entries(size)
    assert (entry.type, entry.public) == ("unit.revoked", {"certificate": before["certificate"]})
    named = ("hardware_id", "epoch", "lot")
    assert {name: entry.private[name] for name in named} == {name: before[name] for name in named}
    assert factory.rows("revocations") == [
        {"number": before["number"], "revoked": entry.time, "reason": "keyCompromise", "note": REVOKE.note}
    ]


def test_the_other_units_go_on(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.imprint(new_unit())
    bench.to("certified", unit)
    factory.platform.command(REVOKE)
    bench.permit(unit)
    factory.platform.command(RevokeUnit(serial="SN-0002", reason=Reason.UNSPECIFIED, note=""))


@pytest.mark.parametrize("state", ["claimed", "quarantined-early"])
def test_what_has_no_certificate_cannot_be_revoked(factory: Factory, state: str) -> None:
    factory.bench().to(state, new_unit())
    with factory.refuses(Code.WRONG_STATE):
        factory.platform.command(REVOKE)


@pytest.mark.parametrize("first", [REVOKE, SCRAP])
def test_a_certificate_is_revoked_once(factory: Factory, first: RevokeUnit | ScrapUnit) -> None:
    factory.bench().to("complete", unit := new_unit())
    factory.platform.command(first)
    (known,) = factory.rows("revocations")
    with factory.refuses(Code.REVOKED):
        factory.platform.command(RevokeUnit(serial="SN-0001", reason=Reason.SUPERSEDED, note=""))
    assert factory.rows("revocations") == [known]
    row = factory.unit(unit)
    forged = {"number": row["number"], "reason": "superseded", "note": ""}
    with factory.lawless() as lawless, pytest.raises(ConflictError):
        lawless.log(UNIT_REVOKED, {"hardware_id": row["hardware_id"], "epoch": 1, "lot": LOT, "revoked": forged})


def test_the_way_to_end_an_identity_of_a_closed_lot(factory: Factory) -> None:
    factory.bench().to("complete", new_unit())
    close(factory)
    lot = factory.row("lots", lot=LOT)
    with pytest.raises(RefusedError) as caught:
        factory.platform.command(SCRAP)
    assert (caught.value.code, "'imprint unit revoke SN-0001'" in caught.value.next_step) == (Code.LOT_CLOSED, True)
    factory.platform.command(REVOKE)
    assert factory.row("lots", lot=LOT) == lot


def test_scrapping_revokes_in_the_same_decision_and_keeps_the_count(factory: Factory) -> None:
    factory.bench().to("complete", unit := new_unit())
    size = factory.size()
    assert factory.platform.command(SCRAP) == "scrapped"
    (entry,) = factory.entries(size)
    assert (entry.public, entry.private["reason"]) == ({"certificate": factory.unit(unit)["certificate"]}, "dropped")
    assert factory.rows("revocations") == [
        {
            "number": factory.unit(unit)["number"],
            "revoked": entry.time,
            "reason": "cessationOfOperation",
            "note": "dropped",
        }
    ]
    assert factory.counts() == {"scrapped": 1}


def test_scrapping_what_was_revoked_keeps_the_first_reason(factory: Factory) -> None:
    factory.bench().to("complete", new_unit())
    factory.platform.command(REVOKE)
    known = factory.rows("revocations")
    assert factory.platform.command(SCRAP) == "scrapped"
    assert factory.rows("revocations") == known
    assert (factory.entries()[-1].public, factory.entries()[-1].private["revoked"]) == ({}, None)
    assert factory.counts() == {"scrapped": 1}


def test_scrapping_what_has_no_certificate_revokes_nothing(factory: Factory) -> None:
    factory.bench().to("quarantined-early", new_unit())
    factory.platform.command(ScrapUnit(serial="SN-0001", reason="smoke"))
    assert factory.rows("revocations") == []
    entry = factory.entries()[-1]
    assert (entry.private["revoked"], entry.private["reason"], entry.public) == (None, "smoke", {})


@pytest.mark.parametrize("command", [REVOKE, SCRAP, ClearUnit(serial="SN-0001", reason="?")])
def test_a_serial_that_no_unit_has(factory: Factory, command: RevokeUnit | ScrapUnit | ClearUnit) -> None:
    with factory.refuses(Code.UNKNOWN_UNIT):
        factory.platform.command(command)


def test_a_revoked_unit_in_work_gets_nothing_more(factory: Factory) -> None:
    """It would ship with an identity that is dead."""
    bench, unit = factory.bench(), new_unit()
    challenge = bench.to("permitted", unit)
    factory.platform.command(REVOKE)
    for intention in (
        bench.certifying(unit),
        bench.completing(unit, challenge),
        bench.permitting(unit, {"hardware-id": unit.hardware_id.hex(), "firmware": unit.statement.image.hex()}),
    ):
        with factory.refuses(Code.REVOKED):
            bench.must(intention)
    assert bench.quarantine(unit) == "quarantined", "a station can still let go of it"


def test_a_claim_for_a_unit_whose_identity_is_dead_marks_nobody(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.imprint(unit)
    factory.platform.command(REVOKE)
    with factory.refuses(Code.REVOKED):
        bench.claim(unit, run="again")
    factory.add_lot(OTHER_LOT)
    with factory.refuses(Code.REVOKED):
        factory.bench("bench-2", lot=OTHER_LOT).claim(unit)
    assert factory.unit(unit)["contested"] == 0


def test_the_list_of_devices_names_those_that_are_revoked(factory: Factory) -> None:
    bench: Bench = factory.bench()
    for _ in range(2):
        bench.imprint(new_unit())
    close(factory)
    factory.platform.command(REVOKE)
    head = factory.platform.checkpoint()
    with factory.reader.store.reading() as store:
        files = dict(lot_files(store, factory.reader.tree, closed_lot(store, LOT), head))
    rows = csv.DictReader(io.StringIO(files["devices.csv"].decode()))
    when = factory.entries()[-1].time
    assert {row["serial"]: row["revoked"] for row in rows} == {"SN-0001": when, "SN-0002": ""}
    assert "units/SN-0001/record.json" in files, "it shipped, and its birth record stands"
