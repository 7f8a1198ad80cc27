"""Per-unit values: each given exactly once, in order, and never beyond the pool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprint.authority.production.pools import Pool, overlaps, value_at
from imprint.authority.production.product import Product
from imprint.errors import InputError, RecipeError
from imprint.protocol.commands import RefundUnits, ScrapUnit
from imprint.protocol.evidence import Grade
from imprint.protocol.refusals import Code
from soft_factory import LOT, OTHER_LOT, OTHER_PRODUCT, PRODUCT, Bench, Factory, new_unit

SCANNED = OTHER_PRODUCT.replace(b'{made: "TOY-", width: 4}', b"{scanned: 'T[0-9]{4}'}")


def scanning(factory: Factory) -> Bench:
    return factory.other_bench(yaml=SCANNED)


def test_made_serials_begin_where_they_are_told_to(factory: Factory) -> None:
    bench = factory.other_bench(yaml=OTHER_PRODUCT.replace(b"width: 4", b"first: 9998, width: 4, count: 3"))
    assert [bench.claim(new_unit()).serial for _ in range(3)] == ["TOY-9998", "TOY-9999", "TOY-10000"]


@pytest.mark.parametrize(
    "small",
    [
        OTHER_PRODUCT.replace(b"width: 4", b"width: 4, count: 1"),
        OTHER_PRODUCT.replace(b"count: 1000", b"count: 1"),
        OTHER_PRODUCT + b"  trim: {kind: list, values: ['17']}\n",
    ],
)
def test_an_empty_pool_gives_nothing_more(factory: Factory, small: bytes) -> None:
    bench = factory.other_bench(yaml=small)
    bench.claim(new_unit())
    with factory.refuses(Code.POOL_EMPTY):
        bench.claim(new_unit())
    assert factory.counts(OTHER_LOT) == {"in_work": 1}


def test_values_of_a_list_are_given_in_order_and_once(factory: Factory) -> None:
    bench = factory.other_bench(b"  trim: {kind: list, values: ['17', '16', '18']}\n")
    units = [new_unit() for _ in range(3)]
    assert [bench.claim(unit).values["trim"] for unit in units] == ["17", "16", "18"]
    bench.release(units[1])
    again = bench.claim(units[1])
    assert (again.values["trim"], again.values["mac"]) == ("16", "02:00:5e:01:00:02")


def test_two_products_may_have_the_same_constants(factory: Factory) -> None:
    bench = factory.other_bench(b"  trim: {kind: list, values: ['17']}\n")
    third = OTHER_PRODUCT.replace(b"toy", b"third").replace(b"TOY-", b"T3-").replace(b"5e:01", b"5e:02")
    factory.add_product(third + b"  trim: {kind: list, values: ['17']}\n")
    factory.add_release(product="third")
    factory.add_lot("lot-3", product="third")
    assert bench.claim(new_unit()).values["trim"] == factory.bench(lot="lot-3").claim(new_unit()).values["trim"] == "17"


def test_a_serial_that_another_product_gave_is_passed_over(factory: Factory) -> None:
    for _ in range(2):
        factory.bench().claim(new_unit())
    bench = factory.other_bench(yaml=OTHER_PRODUCT.replace(b"TOY-", b"SN-"))
    assert [bench.claim(new_unit()).serial for _ in range(2)] == ["SN-0003", "SN-0004"]
    assert factory.bench().claim(new_unit()).serial == "SN-0005"


def test_a_product_may_give_a_serial_number_alone(factory: Factory) -> None:
    bench = factory.other_bench(yaml=OTHER_PRODUCT.partition(b"values:")[0])
    claims = [bench.claim(new_unit()) for _ in range(2)]
    assert [(claimed.serial, claimed.values) for claimed in claims] == [("TOY-0001", {}), ("TOY-0002", {})]


@pytest.mark.parametrize(("refunded", "most"), [(0, 26), (1, 28)])  # for twice the places and 20 boards
def test_claiming_and_releasing_does_not_drain_the_pools(factory: Factory, refunded: int, most: int) -> None:
    factory.add_lot(OTHER_LOT, count=3, refunds_at_most=1)
    bench = factory.bench(lot=OTHER_LOT)
    for _ in range(refunded):
        bench.imprint(new_unit())
        factory.platform.command(ScrapUnit(serial="SN-0001", reason="burnt"))
        factory.platform.command(RefundUnits(lot=OTHER_LOT, count=1, reason="burnt"))
    for _ in range(most - refunded):
        unit = new_unit()
        bench.claim(unit)
        bench.release(unit)
    with factory.refuses(Code.ALLOTTED_OUT):
        bench.claim(new_unit())
    assert bench.claim(unit).serial  # one that has its values already is no draught on the pools
    assert factory.row("pools", product="lamp", pool="mac")["next"] == most


def test_a_hardware_id_gets_values_of_each_product_that_it_becomes(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    bench.claim(unit)
    bench.release(unit)
    other = factory.other_bench()
    assert other.claim(unit).serial == "TOY-0001"
    other.release(unit, fence=2)
    assert bench.claim(unit).serial == "SN-0001"
    assert factory.row("units", hardware_id=unit.hardware_id.hex())["product"] == "lamp"
    assert factory.counts(LOT) == {"in_work": 1}


# --- scanned serials ---


def test_a_label_is_taken_as_it_is(factory: Factory) -> None:
    bench, unit = scanning(factory), new_unit()
    claimed = bench.claim(unit, serial="T0042")
    assert (claimed.serial, claimed.values) == ("T0042", {"mac": "02:00:5e:01:00:01"})
    assert bench.soft.package.scanned_serials
    assert factory.row("given_values", kind="serial", value="T0042")["hardware_id"] == unit.hardware_id.hex()


def test_a_label_that_does_not_match(factory: Factory) -> None:
    bench = scanning(factory)
    for label in (None, "", "T042", "T00421", " T0042", "T0042\n", "T/042", "../T0042", "t0042", "T0042\x00", "T٠٠٤٢"):
        with factory.refuses(Code.SERIAL_REFUSED):
            bench.claim(new_unit(), serial=label)
    assert factory.rows("given_values") == []


def test_no_pattern_lets_in_what_is_no_serial_number(factory: Factory) -> None:
    bench = factory.other_bench(yaml=SCANNED.replace(b"T[0-9]{4}", b"(?s).*"))
    for label in ("T/042", "T\n042", "T 042", "_T042", "T" * 65):
        with factory.refuses(Code.SERIAL_REFUSED):
            bench.claim(new_unit(), serial=label)


def test_a_label_is_for_one_unit(factory: Factory) -> None:
    bench, unit = scanning(factory), new_unit()
    bench.claim(unit, serial="T0042")
    with factory.refuses(Code.SERIAL_REFUSED):
        bench.claim(new_unit(), serial="T0042")
    bench.release(unit)
    with factory.refuses(Code.SERIAL_REFUSED):
        bench.claim(new_unit(), serial="T0042")
    for other in ("T0043", None):
        with factory.refuses(Code.SERIAL_REFUSED):
            bench.claim(unit, serial=other)
    assert bench.claim(unit, serial="T0042").serial == "T0042"


def test_a_label_may_read_like_another_units_value(factory: Factory) -> None:
    bench = factory.other_bench(b"  trim: {kind: list, values: ['T0042', 'T0043']}\n", SCANNED)
    assert bench.claim(new_unit(), serial="T0041").values["trim"] == "T0042"
    assert bench.claim(new_unit(), serial="T0042").serial == "T0042"


# --- the functions ---


def pool(kind: str, size: int, **spec: object) -> Pool:
    return Pool(pool="p", kind=kind, size=size, spec=spec)


@pytest.mark.parametrize("index", [-1, 3, 4])
def test_no_value_outside_the_pool(index: int) -> None:
    with pytest.raises(InputError, match="outside"):
        value_at(pool("list", 3, values=["a", "b", "c"]), index)


@pytest.mark.parametrize(
    ("one", "index", "value"),
    [
        (pool("serial", 10, prefix="A", first=7, width=3), 0, "A007"),
        (pool("serial", 10, prefix="", first=0, width=1), 9, "9"),
        (pool("eui48", 300, first="0200000000fe"), 2, "02:00:00:00:01:00"),
        (pool("eui64", 300, first="02000000000000ff"), 1, "02:00:00:00:00:00:01:00"),
        (pool("list", 2, values=["x", "y"]), 1, "y"),
    ],
)
def test_the_value_at_an_index(one: Pool, index: int, value: str) -> None:
    assert value_at(one, index) == value


ranges = st.builds(
    lambda kind, first, size: pool(kind, size, first=f"{first:0{12 if kind == 'eui48' else 16}x}"),
    st.sampled_from(["eui48", "eui64"]),
    st.integers(0, 30),
    st.integers(1, 12),
)


@given(ranges, ranges)
def test_ranges_overlap_when_they_share_a_value(one: Pool, other: Pool) -> None:
    values = [{value_at(each, index) for index in range(each.size)} for each in (one, other)]
    assert overlaps(one, other) == (not values[0].isdisjoint(values[1])) == overlaps(other, one)


def test_only_ranges_overlap() -> None:
    one = pool("list", 1, values=["a"])
    assert not overlaps(one, one)


# --- the product's file ---


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"product: lamp", b"product: ../lamp"),
        (b"product: lamp", b"product: ''"),
        (b"width: 4", b"width: 0"),
        (b"width: 4", b"width: four"),
        (b"width: 4", b"count: 0"),
        (b"width: 4", b"first: -1"),
        (b'"SN-"', b'"S N"'),
        (b'"SN-"', b'"S/N"'),
        (b'"SN-", width: 4', b'"' + b"S" * 40 + b'", width: 20, first: 99999999999999999999999999'),
        (b'{made: "SN-", width: 4}', b"{scanned: '['}"),
        (b"mac:", b"serial:"),
        (b"mac:", b"MAC:"),
        (b"eui48", b"eui32"),
        (b"count: 1000", b"count: 0"),
        (b"02:00:5e:00:00:01", b"02:00:5e:00:00"),
        (b"02:00:5e:00:00:01", b"02-00-5e-00-00-01"),
        (b"02:00:5e:00:00:01", b"ff:ff:ff:ff:ff:ff"),
        (b'{kind: eui48, first: "02:00:5e:00:00:01", count: 1000}', b"{kind: list, values: []}"),
        (b'{kind: eui48, first: "02:00:5e:00:00:01", count: 1000}', b"{kind: list, values: ['1', '1']}"),
        (b"values:\n", b"evidence: {colour: declared}\nvalues:\n"),
        (b"values:\n", b"evidence: {debug: perhaps}\nvalues:\n"),
        (b"values:\n", b"lease_minutes: 0\nvalues:\n"),
        (b"values:\n", b"colour: red\nvalues:\n"),
        (b"ed25519", b"rsa"),
        (b"key_origin: device", b"key_origin: injected"),
    ],
)
def test_a_product_file_that_is_wrong(old: bytes, new: bytes) -> None:
    assert old in PRODUCT
    with pytest.raises(RecipeError, match=r"product\.yaml:"):
        Product.from_yaml(PRODUCT.replace(old, new), name="product.yaml")


def test_the_last_address_may_be_given() -> None:
    yaml = PRODUCT.replace(b"02:00:5e:00:00:01", b"ff:ff:ff:ff:ff:fe").replace(b"count: 1000", b"count: 2")
    _, mac = Product.from_yaml(yaml, name="product.yaml").pools()
    assert value_at(mac, 1) == "ff:ff:ff:ff:ff:ff"


def test_a_definition_gives_the_same_product() -> None:
    product = Product.from_yaml(PRODUCT + b"evidence: {debug: none, firmware: attested}\n", name="product.yaml")
    again = Product.from_definition(product.definition())
    assert again.definition() == product.definition()
    assert (again.profile, again.pools(), again.name) == (product.profile, product.pools(), "lamp")
    assert again.least_grades() == {
        "hardware-id": Grade.UNIT_SIGNED,
        "identity": Grade.UNIT_SIGNED,
        "firmware": Grade.ATTESTED,
        "boot-key": Grade.UNIT_SIGNED,
        "self-test": Grade.STATION_OBSERVED,
    }
