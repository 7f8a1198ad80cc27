"""The database under the authority's transaction; and what it still holds when the rules are taken away."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imprint.authority.decisions.changes import Change, Insert, Update
from imprint.authority.decisions.kernel import CONFLICT
from imprint.authority.ledger.envelope import SealedEntry, seal
from imprint.authority.production.entries import UNIT_CERTIFIED, UNIT_CLAIMED, UNIT_COMPLETED, UNIT_RELEASED
from imprint.authority.production.life_cycle import State
from imprint.encoding import sha256_hex
from imprint.errors import ConflictError, StorageError
from imprint.storage import database as module
from imprint.storage.database import Database
from imprint.testing.soft_unit import SoftUnit
from soft_factory import GRANT, LOT, Factory, Lawless, new_unit


def entry(number: int) -> SealedEntry:
    """One that changes no table."""
    return seal(type_=CONFLICT, time="now", actor="a", public={"n": number}, private={}, salt=bytes(16))


@pytest.fixture
def database(factory: Factory) -> Iterator[Database]:
    found = Database(factory.database)
    yield found
    found.close()


def test_a_reader_that_is_used_again_sees_what_is_there_now(factory: Factory, tmp_path: Path) -> None:
    """Also when the file was put in the place of the one that was read before."""
    reading = Database(factory.database, read_only=True)
    sizes = []
    for _ in range(2):
        factory.bench().claim(new_unit())
        with reading.reading() as store:
            sizes.append(store.size())
    assert [size - sizes[0] for size in sizes] == [0, 1]
    reading.close()
    factory.stop()
    older = tmp_path / "older.db"
    older.write_bytes(factory.database.read_bytes())
    factory.reopen()
    with reading.reading() as store:
        before = store.size()
    factory.bench().claim(new_unit())
    factory.stop()
    older.replace(factory.database)
    for name in ("-wal", "-shm"):
        factory.database.with_name(factory.database.name + name).unlink(missing_ok=True)
    with reading.reading() as store:
        assert store.size() == before
    reading.close()
    factory.reopen()


def test_readers_at_the_same_time_have_views_of_their_own(factory: Factory) -> None:
    reading = Database(factory.database, read_only=True)
    with reading.reading() as first:
        size = first.size()
        factory.bench().claim(new_unit())
        with reading.reading() as second:
            assert second.size() == size + 1
        assert first.size() == size
    reading.close()


# --- without the rules ---


def claimed(unit: SoftUnit, number: int, **changed: Any) -> dict[str, Any]:
    """The fields of a claim that no rule has looked at."""
    return {
        "hardware_id": unit.hardware_id.hex(),
        "epoch": 1,
        "lot": LOT,
        "product": "lamp",
        "before": None,
        "run": "r",
        "fence": 1,
        "lease_until": "2026-11-21T12:37:07.123Z",
        "challenge": "00",
        "number": f"{number:x}",
        "not_before": "2026-11-21T11:37:07.000Z",
        "serial": f"X-{number}",
        "values": {},
        "first_time": True,
        "given": [],
        "drawn": {},
        **changed,
    }


def certified(unit: SoftUnit, number: int, **changed: Any) -> dict[str, Any]:
    return {
        "hardware_id": unit.hardware_id.hex(),
        "epoch": 1,
        "lot": LOT,
        "before": "claimed",
        "number": f"{number:x}",
        "public_key": sha256_hex(unit.spki()),
        "certificate": f"{number:064x}",
        "origin": "device",
        "known_key": False,
        "challenge": "01",
        **changed,
    }


def refused(factory: Factory, lawless: Lawless, type_: str, private: dict[str, Any], what: str, **public: Any) -> None:
    """The database itself says no, and nothing of it is left."""
    with factory.reader.store.reading() as store:
        before = {name: store.find(name) for name in ("units", "lots", "certificates", "given_values", "requests")}
        size = store.size()
    with pytest.raises(ConflictError, match=what):
        lawless.log(type_, private, **public)
    with factory.reader.store.reading() as store:
        assert {name: store.find(name) for name in before} == before
        assert store.size() == size


def test_the_fields_are_those_that_a_rule_writes(factory: Factory) -> None:
    """Otherwise all that follows would be refused for another reason."""
    unit = new_unit()
    with factory.lawless() as lawless:
        lawless.log(UNIT_CLAIMED, claimed(unit, 1))
        lawless.log(UNIT_CERTIFIED, certified(unit, 1))
    assert factory.unit(unit)["state"] == "certified"
    factory.bench().claim(rule_made := new_unit())
    written = next(one for one in reversed(factory.entries()) if one.type == UNIT_CLAIMED).private
    assert written["hardware_id"] == rule_made.hardware_id.hex()
    assert written.keys() - {"request"} == claimed(unit, 1).keys()


def test_no_unit_beyond_the_grant(factory: Factory) -> None:
    with factory.lawless() as lawless:
        for number in range(GRANT):
            lawless.log(UNIT_CLAIMED, claimed(new_unit(), number))
        refused(factory, lawless, UNIT_CLAIMED, claimed(new_unit(), 99), "within_grant")


def test_no_second_live_unit_with_a_hardware_id(factory: Factory) -> None:
    unit = new_unit()
    with factory.lawless() as lawless:
        lawless.log(UNIT_CLAIMED, claimed(unit, 1))
        again = claimed(unit, 2, epoch=2, first_time=False)
        refused(factory, lawless, UNIT_CLAIMED, again, "units.hardware_id")
        lawless.log(UNIT_RELEASED, {**claimed(unit, 1), "before": "claimed", "after": "released"})
        lawless.log(UNIT_CLAIMED, again)


def test_no_second_row_for_an_epoch(factory: Factory) -> None:
    unit = new_unit()
    with factory.lawless() as lawless:
        lawless.log(UNIT_CLAIMED, claimed(unit, 1))
        lawless.log(UNIT_RELEASED, {**claimed(unit, 1), "before": "claimed", "after": "released"})
        refused(factory, lawless, UNIT_CLAIMED, claimed(unit, 2, first_time=False), "units.hardware_id, units.epoch")


def test_no_second_live_unit_with_a_serial(factory: Factory) -> None:
    with factory.lawless() as lawless:
        lawless.log(UNIT_CLAIMED, claimed(new_unit(), 1))
        again = claimed(new_unit(), 2, serial="X-1", first_time=False)
        refused(factory, lawless, UNIT_CLAIMED, again, "units.serial")


def test_no_value_twice(factory: Factory) -> None:
    with factory.lawless() as lawless:
        given = [{"kind": "eui48", "value": "02:00:00:00:00:00"}]
        lawless.log(UNIT_CLAIMED, claimed(new_unit(), 1, given=given))
        refused(factory, lawless, UNIT_CLAIMED, claimed(new_unit(), 2, given=given), "given_values")
        taken = claimed(new_unit(), 2, serial="X-1")
        taken_by_a_dead_unit = {"serial": "X-1"}
        refused(factory, lawless, UNIT_CLAIMED, {**taken, **taken_by_a_dead_unit}, "units.serial|given_values")


def test_no_value_out_of_its_turn_or_beyond_its_pool(factory: Factory) -> None:
    with factory.lawless() as lawless:
        for index in (1, 1000, -1):
            refused(
                factory,
                lawless,
                UNIT_CLAIMED,
                claimed(new_unit(), 1, drawn={"mac": (index, index + 1)}),
                "not as expected",
            )
    with sqlite3.connect(factory.database) as database:
        database.execute("UPDATE pools SET next = size WHERE pool = 'mac'")
    with factory.lawless() as lawless:
        refused(factory, lawless, UNIT_CLAIMED, claimed(new_unit(), 1, drawn={"mac": (1000, 1001)}), "drawn")
    with sqlite3.connect(factory.database) as database:
        database.execute("UPDATE pools SET next = 0 WHERE pool = 'mac'")
    database.close()


def test_no_second_certificate_for_a_unit(factory: Factory) -> None:
    unit = new_unit()
    with factory.lawless() as lawless:
        lawless.log(UNIT_CLAIMED, claimed(unit, 1))
        lawless.log(UNIT_CERTIFIED, certified(unit, 1))
        again = certified(unit, 2, before="certified", public_key="00" * 32)
        refused(factory, lawless, UNIT_CERTIFIED, again, "certificates.hardware_id, certificates.epoch")
        again["number"] = "1"
        refused(factory, lawless, UNIT_CERTIFIED, again, "certificates")


def test_no_key_for_two_units_alive_or_not(factory: Factory) -> None:
    one, other = new_unit(), new_unit()
    with factory.lawless() as lawless:
        for number, unit in enumerate((one, other)):
            lawless.log(UNIT_CLAIMED, claimed(unit, number))
        lawless.log(UNIT_CERTIFIED, certified(one, 0))
        shared = certified(other, 1, public_key=sha256_hex(one.spki()))
        refused(factory, lawless, UNIT_CERTIFIED, shared, "units.public_key")
        dead = {**certified(one, 0), "before": "certified", "revoked": None}
        lawless.log("unit.scrapped", dead)
        refused(factory, lawless, UNIT_CERTIFIED, shared, "public_keys.public_key")


@pytest.mark.parametrize("before", [state for state in State if state is not State.CLAIMED])
def test_no_move_from_a_state_that_the_unit_is_not_in(factory: Factory, before: State) -> None:
    unit = new_unit()
    with factory.lawless() as lawless:
        lawless.log(UNIT_CLAIMED, claimed(unit, 1))
        refused(factory, lawless, UNIT_CERTIFIED, certified(unit, 1, before=before.value), "not as expected")


def test_nothing_complete_without_its_certificate_or_record(factory: Factory) -> None:
    unit = new_unit()
    with factory.lawless() as lawless:
        lawless.log(UNIT_CLAIMED, claimed(unit, 1))
        fields = {**certified(unit, 1), "action": "lock-debug", "after": "permitted"}
        refused(factory, lawless, "unit.permitted", fields, "certified")
        refused(factory, lawless, UNIT_COMPLETED, certified(unit, 1), "certified", record="00")
        lawless.log(UNIT_CERTIFIED, certified(unit, 1))
        fields = certified(unit, 1, before="certified")
        with pytest.raises(ConflictError, match="ck_units_complete"):
            lawless.log(UNIT_COMPLETED, fields, record=None)


def test_no_closed_lot_with_units_in_work(factory: Factory) -> None:
    with factory.lawless() as lawless:
        lawless.log(UNIT_CLAIMED, claimed(new_unit(), 1))
        refused(factory, lawless, "lot.closed", {"lot": LOT, "reconciliation": "00"}, "closed")


@pytest.mark.parametrize("granted", [0, -1])
def test_no_lot_without_a_grant(factory: Factory, granted: int) -> None:
    names = ("product", "recipe", "recipe_name", "profile", "firmware", "diagnostic")
    fields = {**dict.fromkeys(names, "x"), "lot": "lot-2", "granted": granted, "refunds_at_most": 0}
    with factory.lawless() as lawless:
        refused(factory, lawless, "lot.created", fields, "grant")


def test_no_count_below_zero(factory: Factory) -> None:
    """A unit whose lot never counted it goes back to that lot."""
    unit = new_unit()
    with factory.lawless() as lawless:
        lawless.log(UNIT_CLAIMED, claimed(unit, 1))
        factory.add_lot("lot-2")
        wrong = {**claimed(unit, 1, lot="lot-2"), "before": "claimed", "after": "released"}
        refused(factory, lawless, UNIT_RELEASED, wrong, "counts")


# --- the transaction ---


def write(database: Database, *entries: tuple[SealedEntry, list[Change]]) -> None:
    with database.writing() as transaction:
        for sealed, changes in entries:
            transaction.append(sealed, changes, [])


def test_a_transaction_is_all_or_nothing(factory: Factory, database: Database) -> None:
    size = factory.size()
    good = Insert("public_keys", {"public_key": "k", "hardware_id": "h"})

    def write() -> None:
        with database.writing() as transaction:
            transaction.append(entry(1), [good], [b"blob"])
            assert transaction.size() == size + 1
            assert transaction.get("public_keys", public_key="k") == good.row
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert factory.size() == size
    assert factory.rows("public_keys") == []
    with factory.reader.store.reading() as store, pytest.raises(StorageError, match="missing"):
        store.blob(sha256_hex(b"blob"))


@pytest.mark.parametrize(
    "change",
    [
        Insert("products", {"product": "lamp", "definition": "another"}),
        Update("products", {"product": "toy"}, set={"definition": "d"}),
        Update("products", {"product": "lamp"}, set={"definition": "d"}, expect={"definition": "another"}),
        Update("lots", {"state": "open"}, add={"granted": 1}, expect={"recipe": None}),
        Update("lots", {"lot": LOT}, set={"product": None}),
        Insert("public_keys", {"public_key": None, "hardware_id": "h"}),
    ],
    ids=str,
)
def test_a_change_that_does_not_find_or_meets_its_row_voids_it_all(
    factory: Factory, database: Database, change: Change
) -> None:
    size = factory.size()
    with pytest.raises(ConflictError) as caught:
        write(database, (entry(1), []), (entry(2), [change]))
    assert "ledger verify" in caught.value.next_step
    assert factory.size() == size


def test_an_update_is_of_one_row(factory: Factory, database: Database) -> None:
    factory.add_lot("lot-2")
    change = Update("lots", {"product": "lamp"}, add={"granted": 1})
    with pytest.raises(ConflictError, match="not as expected"):
        write(database, (entry(1), [change]))
    assert {row["granted"] for row in factory.rows("lots")} == {GRANT}


def test_an_update_sets_adds_and_expects_also_nothing(factory: Factory, database: Database) -> None:
    change = Update("lots", {"lot": LOT}, {"recipe_name": "new"}, {"granted": 2}, {"reconciliation": None})
    write(database, (entry(1), [change]))
    row = factory.row("lots", lot=LOT)
    assert (row["recipe_name"], row["granted"]) == ("new", GRANT + 2)
    back = Update("lots", {"lot": LOT}, {"recipe_name": "typical.yaml"}, {"granted": -2})
    write(database, (entry(2), [back]))


def test_an_entry_is_there_once(factory: Factory, database: Database) -> None:
    with pytest.raises(StorageError, match="UNIQUE"):
        write(database, (entry(1), []), (entry(1), []))
    assert factory.size() == 3


def test_reading_is_a_view_of_one_moment(factory: Factory, database: Database) -> None:
    with factory.reader.store.reading() as store:
        size = store.size()
        with database.writing() as transaction:
            transaction.append(entry(1), [], [])
        assert store.size() == size
        assert [seq for seq, _, _ in store.entries(size)] == []
    with factory.reader.store.reading() as store:
        assert store.size() == size + 1
        assert [(seq, data) for seq, data, _ in store.entries(size)] == [(size, entry(1).data)]
        assert store.index(entry(1).leaf.hex()) == size
        assert store.entry(entry(1).leaf.hex()) == (entry(1).data, entry(1).opening)


def test_what_is_not_there(factory: Factory) -> None:
    with factory.reader.store.reading() as store:
        assert store.get("products", product="x") is None
        assert store.find("units") == []
        for look in (store.blob, store.entry, store.index):
            with pytest.raises(StorageError, match="missing"):
                look("00")
        with pytest.raises(StorageError, match="2 rows where one"):
            store.get("pools", product="lamp")


def test_rows_come_in_the_order_of_their_key(factory: Factory) -> None:
    for name in ("b", "a", "c"):
        factory.add_lot(name)
    assert [row["lot"] for row in factory.rows("lots")] == ["a", "b", "c", LOT]


def test_two_writers_take_turns(factory: Factory, database: Database) -> None:
    """Another connection, as of another process, waits for the first and then sees what it wrote."""
    inside, order = threading.Event(), []

    def second() -> None:
        other = Database(factory.database)
        inside.wait(30)
        with other.writing() as transaction:
            order.append(transaction.size())
        other.close()

    thread = threading.Thread(target=second)
    thread.start()
    with database.writing() as transaction:
        inside.set()
        transaction.append(entry(1), [], [])
        order.append(-1)
    thread.join(30)
    assert order == [-1, 4]


def test_a_writer_that_never_gets_its_turn(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.01)
    one, other = Database(factory.database), Database(factory.database)
    with one.writing() as transaction:
        transaction.size()
        with pytest.raises(StorageError, match="locked") as caught, other.writing():
            pass
    assert "Another process" in caught.value.next_step
    one.close()
    other.close()


@pytest.mark.parametrize("content", [None, b"", b"not a database at all" * 100])
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "imprint.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageError) as caught, Database(path).reading() as store:
        store.size()
    assert caught.value.subject == str(path)
    assert path.exists() == (content is not None)


def test_a_reader_cannot_write(factory: Factory) -> None:
    reader = Database(factory.database, read_only=True)
    with pytest.raises(StorageError, match="Make the workspace writable"), reader.writing() as transaction:
        transaction.append(entry(1), [], [])
    reader.close()


def test_a_commit_survives_a_power_cut(factory: Factory, database: Database) -> None:
    """What SQLite promises under these two settings, asked of the connection that writes."""
    with database.writing() as transaction:
        pragma = transaction._connection.execute
        assert pragma("PRAGMA journal_mode").fetchone() == ("wal",)
        assert pragma("PRAGMA synchronous").fetchone() == (2,)
