"""What the owner and the security officer ask: products, grants, closing, scrapping, clearing."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from imprint.authority.production.commands import CloseLotUnder
from imprint.authority.production.product import Product
from imprint.encoding import sha256_hex
from imprint.errors import ImprintError, RefusedError
from imprint.formats.reconciliation import Reconciliation, decode
from imprint.protocol.commands import ClearUnit, ReworkUnit, ScrapUnit
from imprint.protocol.refusals import Code
from soft_factory import GRANT, LOT, OTHER_LOT, OTHER_PRODUCT, PRODUCT, RECIPE, SIGNERS, Bench, Factory, new_unit


def close(factory: Factory, lot: str = LOT) -> Reconciliation:
    """Close the lot under a fresh checkpoint; the sum, whose signature ``cryptography`` has checked."""
    assert factory.platform.command(CloseLotUnder(lot=lot, checkpoint=factory.platform.checkpoint().note)) == "closed"
    with factory.reader.store.reading() as store:
        envelope = json.loads(store.blob(factory.row("lots", lot=lot)["reconciliation"]))
    body = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)
    key = Ed25519PublicKey.from_public_bytes(SIGNERS["record"].public_key[-32:])
    key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)
    return decode(body)


# --- products ---


def test_a_product_is_kept_as_it_was_described(factory: Factory) -> None:
    definition = Product.from_yaml(PRODUCT, name="product.yaml").definition()
    assert factory.row("products", product="lamp")["definition"] == sha256_hex(definition)
    assert {(pool["pool"], pool["kind"], pool["size"], pool["next"]) for pool in factory.rows("pools")} == {
        ("serial", "serial", 1_000_000, 0),
        ("mac", "eui48", 1000, 0),
    }


def test_a_products_name_is_given_once(factory: Factory) -> None:
    with factory.refuses(Code.NAME_TAKEN):
        factory.add_product(OTHER_PRODUCT.replace(b"toy", b"lamp"))


@pytest.mark.parametrize(
    ("first", "taken"),
    [
        ("02:00:5e:00:00:00", True),  # ends with the first address of the other
        ("02:00:5e:00:03:e8", True),  # begins with its last
        ("02:00:5e:00:03:e9", False),
    ],
)
def test_ranges_of_two_products_do_not_overlap(factory: Factory, first: str, taken: bool) -> None:
    yaml = OTHER_PRODUCT.replace(b"02:00:5e:01:00:01", first.encode()).replace(b"count: 1000", b"count: 2")
    if not taken:
        factory.add_product(yaml)
        return
    with factory.refuses(Code.RANGE_TAKEN):
        factory.add_product(yaml)


def test_ranges_of_one_product_do_not_overlap(factory: Factory) -> None:
    with factory.refuses(Code.RANGE_TAKEN):
        factory.add_product(OTHER_PRODUCT + b'  radio: {kind: eui48, first: "02:00:5e:01:00:02", count: 1}\n')
    factory.add_product(OTHER_PRODUCT + b'  radio: {kind: eui64, first: "02:00:5e:01:00:02:00:00", count: 1}\n')


# --- lots ---


def test_a_lot_pins_recipe_firmware_and_profile_by_hash(factory: Factory) -> None:
    factory.add_release(role="diagnostic", version="0.9.0")
    factory.add_lot(OTHER_LOT, count=7, diagnostic="0.9.0+0")
    row = factory.row("lots", lot=OTHER_LOT)
    releases = {release["role"]: release["image"] for release in factory.rows("releases")}
    assert (row["product"], row["granted"], row["refunded"], row["state"]) == ("lamp", 7, 0, "open")
    assert (row["recipe"], row["recipe_name"]) == (sha256_hex(RECIPE.encode()), "typical.yaml")
    assert (row["firmware"], row["diagnostic"]) == (releases["production"], releases["diagnostic"])
    assert row["last_leaf"] == factory.entries()[-1].leaf
    package = factory.bench(lot=OTHER_LOT).soft.package
    assert sha256_hex(package.recipe) == row["recipe"]
    assert sha256_hex(package.firmware) == row["firmware"]
    assert package.diagnostic is not None
    assert sha256_hex(package.diagnostic) == row["diagnostic"]
    assert package.boot_key == SIGNERS["firmware"].public_key
    assert (package.key_algorithm, package.key_origin, package.scanned_serials) == ("ed25519", "device", False)
    assert (package.product, package.lot, package.recipe_name) == ("lamp", OTHER_LOT, "typical.yaml")
    with factory.reader.store.reading() as store:
        profile = json.loads(store.blob(row["profile"]))
    assert (profile["name"], profile["organization"]) == ("lamp-idevid", "Example")


def test_a_newer_release_does_not_reach_a_lot_that_exists(factory: Factory) -> None:
    before = factory.bench().soft.package
    factory.add_release(version="1.0.1")
    assert factory.bench().soft.package == before


def test_a_grant_is_1_at_least_and_has_a_most(factory: Factory) -> None:
    for count in (0, -1, -(2**63), 10_000_001, 2**70):
        with factory.refuses(Code.BAD_REQUEST):
            factory.add_lot(OTHER_LOT, count=count)
    for count in (1, 10_000_000):
        factory.add_lot(f"lot-of-{count}", count=count)
        assert factory.row("lots", lot=f"lot-of-{count}")["granted"] == count


def test_a_lots_name_can_name_a_folder(factory: Factory) -> None:
    for bad in ("", "-x", ".", "..", "a/b", "a\n", "lot 2", "x" * 65, "ü"):
        with factory.refuses(Code.BAD_REQUEST):
            factory.add_lot(bad)
    for good in ("2", "A.b_c-9", "x" * 64):
        factory.add_lot(good)


def test_a_lots_name_is_given_once(factory: Factory) -> None:
    with factory.refuses(Code.NAME_TAKEN):
        factory.add_lot(LOT, count=1000)
    assert factory.row("lots", lot=LOT)["granted"] == GRANT


def test_a_lot_of_what_is_not_there(factory: Factory) -> None:
    factory.add_release(role="diagnostic", version="0.9.0")
    with factory.refuses(Code.UNKNOWN_PRODUCT):
        factory.add_lot(OTHER_LOT, product="toy")
    for firmware, diagnostic in (("9.9.9+0", None), ("0.9.0+0", None), ("1.0.0+0", "1.0.0+0")):
        with factory.refuses(Code.UNKNOWN_RELEASE):
            factory.add_lot(OTHER_LOT, firmware=firmware, diagnostic=diagnostic)
    factory.add_product(OTHER_PRODUCT)
    with factory.refuses(Code.UNKNOWN_RELEASE):
        factory.add_lot(OTHER_LOT, product="toy")


def test_a_station_is_told_why_it_gets_no_package(factory: Factory) -> None:
    with pytest.raises(RefusedError) as caught:
        factory.bench(lot="lot-x")
    assert caught.value.code == Code.UNKNOWN_LOT
    close(factory)
    with pytest.raises(RefusedError) as caught:
        factory.bench()
    assert caught.value.code == Code.LOT_CLOSED


# --- closing ---


def test_the_sum_of_a_lot(factory: Factory) -> None:
    factory.add_lot(OTHER_LOT, count=6)
    bench = factory.bench(lot=OTHER_LOT)
    shipped, contested, scrapped, quarantined, released = (new_unit() for _ in range(5))
    bench.imprint(shipped)
    bench.imprint(contested)
    bench.to("certified", scrapped)
    bench.to("quarantined", quarantined)
    bench.claim(released)
    bench.release(released)
    with factory.refuses(Code.ALREADY_COMPLETE):
        bench.claim(contested)
    factory.platform.command(ScrapUnit(serial=factory.unit(scrapped)["serial"], reason="burnt"))
    found = close(factory, OTHER_LOT)
    assert (found.lot, found.product, found.granted, found.refunded) == (OTHER_LOT, "lamp", 6, 0)
    assert (found.shipped, found.scrapped, found.quarantined, found.unused) == (2, 1, 1, 2)
    assert found.contested == (factory.unit(contested)["serial"],)
    head = factory.reader.tree.head()
    assert head is not None
    assert (found.checkpoint_size, found.checkpoint_root) == (head.size, head.root.hex())
    row = factory.row("lots", lot=OTHER_LOT)
    assert row["state"] == "closed"
    assert factory.entries()[-1].private["reconciliation"] == row["reconciliation"]


@pytest.mark.parametrize("state", ["claimed", "certified", "permitted"])
def test_no_lot_closes_over_units_in_work(factory: Factory, state: str) -> None:
    factory.bench().to(state, new_unit())
    with factory.refuses(Code.WRONG_STATE):
        close(factory)


def test_no_lot_closes_under_a_checkpoint_that_does_not_cover_it(factory: Factory) -> None:
    note = factory.platform.checkpoint().note
    factory.bench().imprint(new_unit())
    with factory.refuses(Code.NOT_COVERED):
        factory.platform.command(CloseLotUnder(lot=LOT, checkpoint=note))
    covering = factory.platform.checkpoint()
    assert covering.size == factory.size()
    with pytest.raises(ImprintError):
        factory.platform.command(CloseLotUnder(lot=LOT, checkpoint=covering.note.replace(b"\n", b"\n ", 1)))
    factory.platform.command(CloseLotUnder(lot=LOT, checkpoint=covering.note))


def test_a_checkpoint_covers_a_lot_from_its_last_unit_on(factory: Factory) -> None:
    """What happens elsewhere afterwards does not matter."""
    factory.bench().imprint(new_unit())
    note = factory.platform.checkpoint().note
    factory.add_lot(OTHER_LOT)
    factory.platform.command(CloseLotUnder(lot=LOT, checkpoint=note))
    with factory.refuses(Code.NOT_COVERED):
        factory.platform.command(CloseLotUnder(lot=OTHER_LOT, checkpoint=note))


def test_the_sum_names_contested_units_of_its_own_lot_alone(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.imprint(unit)
    with factory.refuses(Code.ALREADY_COMPLETE):
        bench.claim(unit)
    factory.add_lot(OTHER_LOT)
    assert close(factory, OTHER_LOT).contested == ()
    assert close(factory).contested == ("SN-0001",)


def test_a_lot_closes_once(factory: Factory) -> None:
    close(factory)
    for lot, code in ((LOT, Code.LOT_CLOSED), ("lot-x", Code.UNKNOWN_LOT)):
        with factory.refuses(code):
            close(factory, lot)


def closed(factory: Factory, state: str) -> Bench:
    bench = factory.bench()
    bench.to(state, new_unit())
    close(factory)
    return bench


@pytest.mark.parametrize("state", ["quarantined", "quarantined-early", "complete"])
def test_the_signed_sum_does_not_move(factory: Factory, state: str) -> None:
    closed(factory, state)
    row = factory.row("lots", lot=LOT)
    with factory.refuses(Code.LOT_CLOSED):
        factory.platform.command(ScrapUnit(serial="SN-0001", reason="burnt"))
    if state != "complete":
        with factory.refuses(Code.LOT_CLOSED):
            factory.platform.command(ClearUnit(serial="SN-0001", reason="found"))
    assert factory.row("lots", lot=LOT) == row


def test_a_clone_of_a_unit_of_a_closed_lot_can_still_be_cleared(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.imprint(unit)
    factory.add_lot(OTHER_LOT)
    close(factory)
    with factory.refuses(Code.ALREADY_COMPLETE):
        factory.bench(lot=OTHER_LOT).claim(unit)
    assert factory.unit(unit)["contested"] == 1
    factory.platform.command(ClearUnit(serial="SN-0001", reason="the clone was found"))
    assert factory.unit(unit)["contested"] == 0


def test_nothing_is_done_in_a_closed_lot(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.claim(unit)
    bench.release(unit)
    close(factory)
    for act in (bench.claim, bench.certify, bench.permit, bench.release, bench.quarantine):
        with factory.refuses(Code.LOT_CLOSED):
            act(unit)
    factory.add_lot(OTHER_LOT)
    assert factory.bench(lot=OTHER_LOT).claim(unit).serial == "SN-0001", "it never shipped, so it may be tried again"


# --- clearing ---


def test_the_newest_epoch_answers_to_a_serial(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.imprint(unit)
    factory.platform.command(ReworkUnit(serial="SN-0001", reason="antenna"))
    factory.platform.command(ClearUnit(serial="SN-0001", reason="?"))
    assert [(row["epoch"], row["fence"]) for row in factory.rows("units")] == [(1, 1), (2, 3)]


def test_clearing_takes_the_unit_from_its_station(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.to("quarantined", unit)
    assert factory.platform.command(ClearUnit(serial="SN-0001", reason="was the cable")) == "certified"
    row = factory.unit(unit)
    assert (row["station"], row["run"], row["fence"], row["contested"]) == ("", "", 2, 0)
    assert factory.entries()[-1].private["reason"] == "was the cable"
    for fence in (1, 2):
        with factory.refuses(Code.STALE_FENCE):
            bench.permit(unit, fence)
    other = factory.bench("bench-2")
    assert other.claim(unit, run="x").fence == 3
    other.complete(unit, other.permit(unit, fence=3).challenge, fence=3)
