"""The kernel on a real database, with two small rules of its own; and the rule of each of its invariants broken."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from imprint.authority.decisions.changes import Change, ChangesOf, Insert
from imprint.authority.decisions.kernel import CONFLICT, MAX_BATCH, MAX_ID, Ask, Committed, Kernel, changes_of
from imprint.authority.decisions.outcome import REFUSED, Event, Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.ledger.envelope import OpenedEntry, open_entry
from imprint.clock import to_text
from imprint.encoding import sha256_hex
from imprint.errors import AccessError, ConflictError, LedgerError, StorageError
from imprint.formats.note import ed25519_key
from imprint.formats.receipt import verify_receipt
from imprint.protocol.answers import Answer, Done, Refused
from imprint.protocol.codec import encode_answer
from imprint.protocol.refusals import Code
from imprint.storage.database import Database
from imprint.storage.schema import create_database
from imprint.testing.stores import Break, BreakingStore
from soft_factory import ORIGIN, SIGNERS, SetClock

LEDGER = SIGNERS["ledger"]
KEY = ed25519_key(ORIGIN, LEDGER.public_key[-32:])
PATIENCE_S = 30
ADDED = "thing.added"


@dataclass(frozen=True)
class Add:
    """Adds a row. The rule waits until it may go on, and can be told to go wrong."""

    name: str
    twice: bool = False
    gate: threading.Event | None = None
    bug: BaseException | None = None
    blobs: tuple[bytes, ...] = ()


def add(moment: Moment, store: Reading, request: Add) -> Outcome:
    if request.gate is not None:
        assert request.gate.wait(PATIENCE_S)
    if request.bug is not None:
        raise request.bug
    if store.get("products", product=request.name) is not None:
        raise Refusal(Code.NAME_TAKEN, f"{request.name} is taken", next_step="Choose another", private={"who": "me"})
    extra = (Event("thing.seen", {"name": request.name}),) if request.twice else ()
    event = Event(ADDED, {"name": request.name}, {"shown": 1}, request.blobs)
    return Outcome((*extra, event), Done(state=request.name))


def added(entry: OpenedEntry) -> list[Change]:
    return [Insert("products", {"product": entry.private["name"], "definition": entry.leaf})]


ROOMS: dict[str, ChangesOf] = {ADDED: added, "thing.seen": lambda _: [], REFUSED: lambda _: []}


@dataclass
class Bench:
    """A kernel on a database."""

    path: Path
    clock: SetClock = field(default_factory=SetClock)

    def __post_init__(self) -> None:
        self.database = Database(self.path)
        self.store = BreakingStore(self.database)
        self.kernel = self.start()

    def start(self, store: Any = None) -> Kernel:
        return Kernel(
            store=store or self.store,
            rules={Add: add},
            changes=ROOMS,
            clock=self.clock,
            random=bytes,
            receipt_signer=LEDGER,
            admit=admit,
        )

    def add(self, name: str, *, id_: str = "", actor: str = "a", **settings: Any) -> Answer:
        return self.kernel.decide(ask(name, id_=id_, actor=actor, **settings))

    def entries(self) -> list[OpenedEntry]:
        with self.store.reading() as store:
            return [open_entry(data, opening, subject=str(seq)) for seq, data, opening in store.entries()]

    def things(self) -> list[str]:
        with self.store.reading() as store:
            return [row["product"] for row in store.find("products")]


def admit(store: Reading, ask: Ask) -> None:
    if ask.certificate == "shut out":
        raise AccessError("shut out")


def ask(name: str, *, id_: str = "", actor: str = "a", **settings: Any) -> Ask:
    return Ask(actor=actor, request_id=id_ or name, body=f"add {name}".encode(), request=Add(name, **settings))


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "imprint.db"
    create_database(path)
    return path


@pytest.fixture
def bench(empty: Path, tmp_path: Path) -> Iterator[Bench]:
    path = tmp_path / "imprint.db"
    path.write_bytes(empty.read_bytes())
    made = Bench(path)
    yield made
    made.kernel.close()
    made.database.close()


def done(answer: Answer) -> str:
    assert isinstance(answer.result, Done), answer.result
    return answer.result.state


def refused(answer: Answer) -> Refused:
    assert isinstance(answer.result, Refused), answer.result
    return answer.result


def hold_back(bench: Bench, *asks: Ask) -> tuple[list["Future[Committed]"], Callable[[], None]]:
    """The asks in one batch: they queue up while the kernel is held at a gate; the second value opens it."""
    gate = threading.Event()
    first = bench.kernel.submit(ask("gate", gate=gate))
    while not first.running():
        pass
    return [bench.kernel.submit(one) for one in asks], gate.set


# --- logged before released ---


def test_a_decision_is_entry_change_request_and_receipt_in_one(bench: Bench) -> None:
    answer = bench.add("x", id_="r1", blobs=(b"bytes",))
    assert done(answer) == "x"
    (entry,) = bench.entries()
    assert (entry.type, entry.actor, entry.time) == (ADDED, "a", to_text(bench.clock.now))
    assert entry.public == {"shown": 1}
    assert entry.private["name"] == "x"
    assert entry.private["blobs"] == [sha256_hex(b"bytes")]
    assert entry.private["request"] == {
        "id": "r1",
        "body": sha256_hex(b"add x"),
        "result": '{"kind":"done","state":"x"}',
    }
    with bench.store.reading() as store:
        row = store.get("requests", actor="a", request_id="r1")
        assert row is not None
        assert row["body"] == sha256_hex(b"add x")
        assert row["leaf"] == entry.leaf == answer.receipt.leaf
        assert store.blob(sha256_hex(b"bytes")) == b"bytes"
    assert bench.things() == ["x"]


def test_the_receipt_is_the_ledger_keys_and_nobody_elses(bench: Bench) -> None:
    receipt = bench.add("x").receipt
    leaf, time, signature = bytes.fromhex(receipt.leaf), receipt.time, receipt.signature
    verify_receipt(leaf=leaf, time=time, signature=signature, key=KEY)
    for changed in (
        (bytes(32), time, signature),
        (leaf, "2026-11-21T11:37:07.124Z", signature),
        (leaf, time, bytes(64)),
    ):
        with pytest.raises(LedgerError):
            verify_receipt(leaf=changed[0], time=changed[1], signature=changed[2], key=KEY)


def test_the_last_of_several_events_carries_the_request(bench: Bench) -> None:
    answer = bench.add("x", twice=True)
    first, last = bench.entries()
    assert (first.type, last.type) == ("thing.seen", ADDED)
    assert "request" not in first.private
    assert last.leaf == answer.receipt.leaf


def test_no_answer_without_a_commit_and_nothing_is_left(bench: Bench) -> None:
    bench.store.break_next(Break.BEFORE)
    with pytest.raises(StorageError, match="broke on purpose"):
        bench.add("x", id_="r")
    assert (bench.entries(), bench.things()) == ([], [])
    assert done(bench.add("x", id_="r")) == "x"
    assert len(bench.entries()) == 1


def test_failed_but_persisted_gives_the_same_bytes_when_asked_again(bench: Bench) -> None:
    bench.store.break_next(Break.AFTER)
    with pytest.raises(StorageError, match="broke on purpose"):
        bench.add("x", id_="r")
    (entry,) = bench.entries()
    bench.clock.now = bench.clock.now.replace(year=2031)
    again = bench.add("x", id_="r")
    assert (again.receipt.leaf, again.receipt.time) == (entry.leaf, entry.time)
    assert encode_answer(again) == encode_answer(bench.add("x", id_="r"))
    assert len(bench.entries()) == 1


def test_an_answer_is_out_only_when_another_connection_sees_its_entry(bench: Bench) -> None:
    """A future that is done is durable: looked at from the callback, on a connection of its own."""
    seen: list[int] = []

    def look(_: object) -> None:
        with Database(bench.path, read_only=True).reading() as store:
            seen.append(store.size())

    futures, go = hold_back(bench, *(ask(str(number)) for number in range(5)))
    for future in futures:
        future.add_done_callback(look)
    go()
    bench.kernel.close()
    assert seen == [6] * 5


# --- exactly once ---


def test_the_same_request_gets_the_same_bytes(bench: Bench) -> None:
    first = encode_answer(bench.add("x", id_="r"))
    bench.clock.now = bench.clock.now.replace(year=2030)
    assert encode_answer(bench.add("x", id_="r")) == first
    bench.kernel.close()
    bench.kernel = bench.start()
    assert encode_answer(bench.add("x", id_="r")) == first
    assert len(bench.entries()) == 1


def test_a_refusal_is_logged_and_repeated_even_when_it_would_be_granted_now(bench: Bench) -> None:
    bench.add("x", id_="r1")
    answer = bench.add("x", id_="r2")
    told = refused(answer)
    assert (told.code, told.message, told.next_step) == (Code.NAME_TAKEN, "x is taken", "Choose another")
    entry = bench.entries()[-1]
    assert (entry.type, entry.public, entry.leaf) == (REFUSED, {}, answer.receipt.leaf)
    assert {name: entry.private[name] for name in ("code", "message", "who")} == {
        "code": "name-taken",
        "message": "x is taken",
        "who": "me",
    }
    assert encode_answer(bench.add("x", id_="r2")) == encode_answer(answer)
    assert len(bench.entries()) == 2


def test_the_same_id_with_another_body_is_a_conflict_that_is_logged(bench: Bench) -> None:
    bench.add("x", id_="r")
    answer = bench.add("y", id_="r")
    told = refused(answer)
    assert told.code == Code.REQUEST_CONFLICT
    assert told.next_step
    assert "r" in told.message.split()
    entry = bench.entries()[-1]
    assert (entry.type, entry.actor, entry.leaf) == (CONFLICT, "a", answer.receipt.leaf)
    assert entry.private == {"id": "r", "body": sha256_hex(b"add y")}
    verify_receipt(
        leaf=bytes.fromhex(entry.leaf), time=answer.receipt.time, signature=answer.receipt.signature, key=KEY
    )
    assert bench.things() == ["x"]
    assert done(bench.add("x", id_="r")) == "x"


def test_an_id_belongs_to_its_actor(bench: Bench) -> None:
    assert done(bench.add("x", id_="r", actor="a")) == "x"
    assert done(bench.add("y", id_="r", actor="b")) == "y"
    assert [entry.actor for entry in bench.entries()] == ["a", "b"]


@pytest.mark.parametrize("bad", ["", "x" * (MAX_ID + 1), "line\nbreak", "nul\x00"])
def test_an_id_is_short_and_printable(bench: Bench, bad: str) -> None:
    with pytest.raises(ConflictError, match="printable") as caught:
        bench.kernel.submit(Ask(actor="a", request_id=bad, body=b"", request=Add("x")))
    assert caught.value.subject == repr(bad[:40])
    assert bench.entries() == []


@pytest.mark.parametrize("good", ["x", "x" * MAX_ID])
def test_an_id_may_have_1_to_200_characters(bench: Bench, good: str) -> None:
    assert MAX_ID == 200
    assert done(bench.add("thing", id_=good)) == "thing"


# --- one batch ---


def test_what_waits_together_shares_a_transaction(bench: Bench) -> None:
    futures, go = hold_back(bench, *(ask(str(number)) for number in range(50)))
    go()
    for future in futures:
        future.result(PATIENCE_S)
    assert bench.store.writes == 2
    assert [entry.private["name"] for entry in bench.entries()] == ["gate", *map(str, range(50))]


def test_a_batch_has_a_most(bench: Bench) -> None:
    futures, go = hold_back(bench, *(ask(str(number)) for number in range(MAX_BATCH + 1)))
    go()
    for future in futures:
        future.result(PATIENCE_S)
    assert bench.store.writes == 3


@pytest.mark.parametrize("bug", [ZeroDivisionError("a bug"), ConflictError("spoiled"), KeyboardInterrupt()])
def test_one_spoiled_request_spoils_no_other(bench: Bench, bug: BaseException) -> None:
    futures, go = hold_back(bench, ask("x"), ask("y", bug=bug), ask("z"))
    go()
    assert futures[0].result(PATIENCE_S).result == Done(state="x")
    assert futures[1].exception(PATIENCE_S) is bug
    assert futures[2].result(PATIENCE_S).result == Done(state="z")
    assert bench.things() == ["gate", "x", "z"]
    assert len(bench.entries()) == 3


def test_a_change_that_the_database_refuses_spoils_no_other(bench: Bench) -> None:
    """The rule looks for the name and the change inserts another: what a wrong rule would do."""
    bench.add("x")
    sly = Ask(actor="a", request_id="sly", body=b"", request=Add("y"))
    kernel = Kernel(
        store=bench.store,
        rules={Add: lambda *_: Outcome((Event(ADDED, {"name": "x"}),), Done(state="?"))},
        changes=ROOMS,
        clock=bench.clock,
        random=bytes,
        receipt_signer=LEDGER,
        admit=admit,
    )
    with pytest.raises(ConflictError, match="products"):
        kernel.decide(sly)
    kernel.close()
    assert len(bench.entries()) == 1


def test_a_batch_whose_commit_fails_is_asked_again(bench: Bench) -> None:
    """Whether or not the batch persisted, each request is decided once; nobody waits for the others' tries."""
    for how, prefix in ((Break.BEFORE, "b"), (Break.AFTER, "a")):
        names = [f"{prefix}{number}" for number in range(5)]
        bench.store.break_next(how)
        failures = bench.kernel.decide_together([ask(name) for name in names])
        assert [type(failure) for failure in failures] == [StorageError] * 5
        assert bench.store.writes == (1 if how is Break.BEFORE else 7)
        assert [done(bench.add(name)) for name in names] == names
    assert len(bench.entries()) == len(bench.things()) == 10


def test_a_bug_reaches_its_caller_and_the_kernel_goes_on(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        bench.add("x", bug=ZeroDivisionError())
    with pytest.raises(KeyError):
        bench.kernel.decide(Ask(actor="a", request_id="r", body=b"", request="no rule for this"))
    assert done(bench.add("x")) == "x"
    assert len(bench.entries()) == 1


# --- callers that go away, and the end ---


def test_a_request_that_was_given_up_before_its_turn_is_never_decided(bench: Bench) -> None:
    futures, go = hold_back(bench, ask("x"), ask("y"))
    assert futures[0].cancel()
    go()
    assert futures[1].result(PATIENCE_S).result == Done(state="y")
    assert done(bench.add("z")) == "z"
    assert bench.things() == ["gate", "y", "z"]


def test_a_request_whose_turn_has_come_cannot_be_given_up(bench: Bench) -> None:
    gate = threading.Event()
    future = bench.kernel.submit(ask("x", gate=gate))
    while not future.running():
        pass
    assert not future.cancel()
    gate.set()
    assert future.result(PATIENCE_S).result == Done(state="x")


def test_a_kernel_that_nobody_closed_keeps_no_process_alive(bench: Bench) -> None:
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "imprint-kernel")
    assert thread.daemon
    bench.kernel.close()
    assert not thread.is_alive()
    assert bench.store.writes == 0, "nothing was asked, so nothing was written"


def test_close_finishes_what_is_queued_and_takes_no_more(bench: Bench) -> None:
    futures, go = hold_back(bench, *(ask(str(number)) for number in range(5)))
    closing = threading.Thread(target=bench.kernel.close)
    closing.start()
    go()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert [future.result(0).result for future in futures] == [Done(state=str(number)) for number in range(5)]
    with pytest.raises(StorageError, match="closing"):
        bench.add("late")
    bench.kernel.close()


def test_close_while_many_ask_leaves_nobody_waiting(bench: Bench) -> None:
    def ask_until_closed(worker: int) -> int:
        for number in range(10_000):
            try:
                bench.kernel.decide(ask(f"{worker}-{number}"))
            except StorageError:
                return number
        raise AssertionError("never closed")

    with ThreadPoolExecutor(8) as pool:
        counts = [pool.submit(ask_until_closed, worker) for worker in range(8)]
        while len(bench.things()) < 20:
            pass
        bench.kernel.close()
        assert sum(count.result(PATIENCE_S) for count in counts) == len(bench.entries())


def test_many_callers_at_once_are_all_answered(bench: Bench) -> None:
    def one(number: int) -> str:
        return done(bench.add(f"n{number}", actor=f"s{number % 7}", id_=str(number // 7)))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(100))) == [f"n{number}" for number in range(100)]
    assert len(bench.entries()) == 100


def test_an_entry_that_no_room_knows_is_refused() -> None:
    entry = OpenedEntry(type="?", time="t", actor="a", public={}, private={}, leaf="l")
    with pytest.raises(LedgerError, match=r"'\?'"):
        changes_of(entry, ROOMS)


def test_who_is_shut_out_gets_nothing_not_even_a_repeat_and_writes_nothing(bench: Bench) -> None:
    asked = ask("x", id_="1")
    bench.kernel.decide(asked)
    for again in (asked, ask("y", id_="2")):
        with pytest.raises(AccessError, match="shut out"):
            bench.kernel.decide(replace(again, certificate="shut out"))
    assert bench.kernel.decide(replace(asked, certificate="known")).result == Done(state="x")
    assert len(bench.entries()) == 1


def test_who_is_shut_out_spoils_no_other(bench: Bench) -> None:
    bench.add("gate")
    commits = bench.store.writes
    asks = [replace(ask(name), certificate="shut out" if name == "b" else None) for name in "abc"]
    futures = [bench.kernel.submit(one) for one in asks]
    assert [future.exception() is None for future in futures] == [True, False, True]
    assert bench.things() == ["a", "c", "gate"]
    assert bench.store.writes - commits <= 3
