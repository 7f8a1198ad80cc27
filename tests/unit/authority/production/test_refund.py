"""Places that come back: for scrapped units, each once, up to a cap, by an owner."""

import pytest
from test_owner import close

from imprint.authority.production.entries import LOT_REFUNDED
from imprint.errors import ConflictError
from imprint.protocol.commands import ClearUnit, RefundUnits, ScrapUnit
from imprint.protocol.refusals import Code
from soft_factory import LOT, OTHER_LOT, Bench, Factory, new_unit


@pytest.fixture
def bench(factory: Factory) -> Bench:
    """On a lot of three units, all taken: two scrapped, one shipped. Two refunds at most."""
    factory.add_lot(OTHER_LOT, count=3, refunds_at_most=2)
    bench = factory.bench(lot=OTHER_LOT)
    for _ in range(3):
        bench.imprint(new_unit())
    for serial in ("SN-0001", "SN-0002"):
        factory.platform.command(ScrapUnit(serial=serial, reason="burnt"))
    return bench


def refund(count: int, lot: str = OTHER_LOT) -> RefundUnits:
    return RefundUnits(lot=lot, count=count, reason="I have the boards")


def test_a_refund_makes_room_for_as_many_units(factory: Factory, bench: Bench) -> None:
    with factory.refuses(Code.GRANT_USED_UP):
        bench.claim(new_unit())
    size = factory.size()
    assert factory.platform.command(refund(1)) == "refunded"
    (entry,) = factory.entries(size)
    assert (entry.type, entry.public, entry.private["count"], entry.private["reason"]) == (
        "lot.refunded",
        {},
        1,
        "I have the boards",
    )
    row = factory.row("lots", lot=OTHER_LOT)
    assert (row["granted"], row["refunded"], row["refunds_at_most"]) == (3, 1, 2)
    bench.imprint(new_unit())
    with factory.refuses(Code.GRANT_USED_UP):
        bench.claim(new_unit())
    assert factory.counts(OTHER_LOT) == {"shipped": 2, "scrapped": 2}


def test_each_scrapped_unit_is_refunded_once(factory: Factory, bench: Bench) -> None:
    with factory.refuses(Code.REFUNDS_USED_UP):
        factory.platform.command(refund(3))
    factory.platform.command(refund(1))
    with factory.refuses(Code.REFUNDS_USED_UP):
        factory.platform.command(refund(2))
    factory.platform.command(refund(1))
    with factory.refuses(Code.REFUNDS_USED_UP):
        factory.platform.command(refund(1))
    assert factory.row("lots", lot=OTHER_LOT)["refunded"] == 2


def test_only_what_is_scrapped_is_refunded(factory: Factory) -> None:
    factory.add_lot(OTHER_LOT, count=3, refunds_at_most=3)
    bench = factory.bench(lot=OTHER_LOT)
    bench.to("quarantined-early", new_unit())
    bench.to("quarantined", new_unit())
    bench.imprint(new_unit())
    with factory.refuses(Code.NOT_SCRAPPED):
        factory.platform.command(refund(1))
    for count, serial in enumerate(("SN-0001", "SN-0002", "SN-0003"), start=1):
        factory.platform.command(ScrapUnit(serial=serial, reason="burnt"))
        with factory.refuses(Code.NOT_SCRAPPED if count < 3 else Code.REFUNDS_USED_UP):
            factory.platform.command(refund(2))
        factory.platform.command(refund(1))
    with factory.refuses(Code.WRONG_STATE):
        factory.platform.command(ClearUnit(serial="SN-0001", reason="it is back"))


@pytest.mark.parametrize("count", [0, -1])
def test_nothing_is_taken_away_by_a_refund(factory: Factory, bench: Bench, count: int) -> None:
    with factory.refuses(Code.BAD_REQUEST):
        factory.platform.command(refund(count))


def test_without_a_cap_there_is_no_refund(factory: Factory) -> None:
    factory.add_lot(OTHER_LOT)
    bench = factory.bench(lot=OTHER_LOT)
    bench.imprint(new_unit())
    factory.platform.command(ScrapUnit(serial="SN-0001", reason="burnt"))
    with factory.refuses(Code.REFUNDS_USED_UP):
        factory.platform.command(refund(1))


@pytest.mark.parametrize("most", [-1, 4])
def test_no_cap_below_nothing_or_above_the_grant(factory: Factory, most: int) -> None:
    with factory.refuses(Code.BAD_REQUEST):
        factory.add_lot(OTHER_LOT, count=3, refunds_at_most=most)


@pytest.mark.parametrize("most", [0, 3])
def test_the_ends_of_what_a_cap_can_be(factory: Factory, most: int) -> None:
    factory.add_lot(OTHER_LOT, count=3, refunds_at_most=most)
    assert factory.row("lots", lot=OTHER_LOT)["refunds_at_most"] == most


def test_the_signed_sum_has_the_refunds_and_then_stays(factory: Factory, bench: Bench) -> None:
    factory.platform.command(refund(2))
    bench.imprint(new_unit())
    found = close(factory, OTHER_LOT)
    assert (found.granted, found.refunded, found.shipped, found.scrapped, found.unused) == (3, 2, 2, 2, 1)
    with factory.refuses(Code.LOT_CLOSED):
        factory.platform.command(refund(1))
    with factory.refuses(Code.UNKNOWN_LOT):
        factory.platform.command(refund(1, "lot-x"))


def test_no_lot_closes_under_a_checkpoint_from_before_its_refund(factory: Factory, bench: Bench) -> None:
    factory.platform.checkpoint()
    factory.platform.command(refund(1))
    assert factory.row("lots", lot=OTHER_LOT)["last_leaf"] == factory.entries()[-1].leaf


@pytest.mark.parametrize(("lot", "count"), [(OTHER_LOT, 3), (OTHER_LOT, -1), (LOT, 1)])
def test_the_database_holds_the_cap_and_the_count(factory: Factory, bench: Bench, lot: str, count: int) -> None:
    """Also when the rule is wrong."""
    with factory.lawless() as lawless, pytest.raises(ConflictError):
        lawless.log(LOT_REFUNDED, {"lot": lot, "count": count, "reason": "?"})


def test_the_database_holds_that_only_scrapped_units_are_refunded(factory: Factory) -> None:
    factory.add_lot(OTHER_LOT, count=3, refunds_at_most=3)
    factory.bench(lot=OTHER_LOT).imprint(new_unit())
    with factory.lawless() as lawless, pytest.raises(ConflictError):
        lawless.log(LOT_REFUNDED, {"lot": OTHER_LOT, "count": 1, "reason": "?"})
