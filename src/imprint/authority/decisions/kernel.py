"""The kernel: the only way into the ledger.

Invariants, each with a test that breaks it:

- Nothing is answered before its entry is durable (logged before released).
- A request ID belongs to its actor. The same body gets the same bytes again; another body is a conflict, logged at each
  try.
- A refusal is a decision: it is logged and repeated like any other.
- Who may not ask gets nothing, the repeat of an earlier answer included.
- Entry, changes and the request's row are one transaction; a rule never writes.

Decisions that wait at the same time share one transaction (group commit), so that one sync of the disk serves many.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Final

from imprint.authority.decisions.changes import Change, ChangesOf, Insert
from imprint.authority.decisions.outcome import REFUSED, Event, Moment, Outcome, Refusal, Rule
from imprint.authority.decisions.results import fold_result, unfold_result
from imprint.authority.decisions.transaction import Reading, Store, Transaction
from imprint.authority.ledger.envelope import SALT_SIZE, OpenedEntry, open_entry, seal
from imprint.clock import Clock, to_text
from imprint.encoding import sha256_hex
from imprint.errors import AccessError, ConflictError, LedgerError, StorageError
from imprint.formats.receipt import signed_bytes
from imprint.keys.signer import Signer
from imprint.protocol.answers import Answer, Receipt, Refused, Result
from imprint.protocol.refusals import Code

CONFLICT: Final = "request.conflict"
MAX_BATCH: Final = 256
MAX_ID: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request: who, under which ID, its exact bytes, and what they mean. ``certificate`` is the SHA-256 of the
    client certificate with which it came, hexadecimal; None when it came from this machine. Raises
    :class:`ConflictError` for an ID that cannot be one."""

    actor: str
    request_id: str
    body: bytes
    request: object
    certificate: str | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.request_id) <= MAX_ID or not self.request_id.isprintable():
            raise ConflictError("a request ID has 1 to 200 printable characters", subject=repr(self.request_id[:40]))


# Looks whether who asks may ask at all; raises AccessError if not. That is no decision: nothing is logged, or whoever
# was shut out could still write.
Admit = Callable[[Reading, Ask], None]


@dataclass(frozen=True, slots=True)
class Committed:
    """A decision as it stands in the store."""

    result: Result
    leaf: str
    time: str


class Kernel:
    """Takes requests from any thread; one thread of its own decides them, unless the caller's does
    (:meth:`decide_together`). Close it to stop that thread."""

    def __init__(
        self,
        *,
        store: Store,
        rules: Mapping[type, Rule],
        changes: Mapping[str, ChangesOf],
        clock: Clock,
        random: Callable[[int], bytes],
        receipt_signer: Signer,
        admit: Admit,
    ) -> None:
        self._store = store
        self._rules = rules
        self._changes = changes
        self._clock = clock
        self._random = random
        self._signer = receipt_signer
        self._admit = admit
        self._turn = threading.Lock()  # the store has one writer
        self._queue: queue.SimpleQueue[tuple[Ask, Future[Committed]] | None] = queue.SimpleQueue()
        self._closed = False
        self._entrance = threading.Lock()  # so that nothing is queued behind the end of the queue
        self._thread = threading.Thread(target=self._write, name="imprint-kernel", daemon=True)
        self._thread.start()

    def decide(self, ask: Ask) -> Answer:
        """Decide and wait until it is durable. Raises :class:`StorageError` when the outcome is unknown: ask again."""
        return self.answer(self.submit(ask).result())

    async def ask(self, ask: Ask) -> Answer:
        """As :meth:`decide`, for a caller that does other things meanwhile."""
        return self.answer(await asyncio.wrap_future(self.submit(ask)))

    def submit(self, ask: Ask) -> "Future[Committed]":
        """Queue a request. The future holds the decision once it is durable; one that is cancelled before its turn is
        never decided."""
        future: Future[Committed] = Future()
        with self._entrance:
            if self._closed:
                raise StorageError(
                    "the authority is closing", next_step="Start it again and ask with the same request ID"
                )
            self._queue.put((ask, future))
        return future

    def decide_together(self, asks: Sequence[Ask]) -> list[Committed | BaseException]:
        """Decide in the caller's thread, in one transaction; when one of them spoils it, each in one of its own. Gives
        for each what is durable now, or why nothing is known to be: :class:`AccessError`, what :meth:`decide` raises,
        or a bug, which must reach its asker and nobody else. A store that fails fails all of them: trying each again
        would keep everybody waiting, for as long as the store does, times their number."""
        try:
            with self._turn:
                return self._commit(asks)
        except StorageError as problem:
            return [problem] * len(asks)
        except BaseException as problem:
            if len(asks) == 1:
                return [problem]
        return [one for ask in asks for one in self.decide_together([ask])]

    def answer(self, committed: Committed) -> Answer:
        """The result with its receipt. Ed25519 is deterministic: the same decision has the same receipt bytes."""
        signature = self._signer.sign(signed_bytes(bytes.fromhex(committed.leaf), committed.time))
        receipt = Receipt(leaf=committed.leaf, time=committed.time, signature=signature)
        return Answer(result=committed.result, receipt=receipt)

    def close(self) -> None:
        """Finish what is queued, then stop."""
        with self._entrance:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    # --- the writing thread ---------------------------------------------------------------------------------------

    def _write(self) -> None:
        while True:
            batch: list[tuple[Ask, Future[Committed]]] = []
            item = self._queue.get()
            while item is not None:
                if item[1].set_running_or_notify_cancel():
                    batch.append(item)
                if len(batch) >= MAX_BATCH or self._queue.empty():
                    break
                item = self._queue.get()
            if batch:
                self._settle(batch)
            if item is None:
                return

    def _settle(self, batch: Sequence[tuple[Ask, "Future[Committed]"]]) -> None:
        done = self.decide_together([ask for ask, _ in batch])
        for (_, future), found in zip(batch, done, strict=True):
            if isinstance(found, BaseException):
                future.set_exception(found)
            else:
                future.set_result(found)

    def _commit(self, asks: Sequence[Ask]) -> list[Committed | BaseException]:
        with self._store.writing() as transaction:
            return [self._admitted(transaction, ask) for ask in asks]

    def _admitted(self, transaction: Transaction, ask: Ask) -> Committed | AccessError:
        try:
            self._admit(transaction, ask)
        except AccessError as problem:
            return problem
        return self._decide(transaction, ask)

    def _decide(self, transaction: Transaction, ask: Ask) -> Committed:
        body = sha256_hex(ask.body)
        now = self._clock()
        moment = Moment(actor=ask.actor, now=now, time=to_text(now), random=self._random)
        earlier = transaction.get("requests", actor=ask.actor, request_id=ask.request_id)
        if earlier is not None:
            if earlier["body"] == body:
                return _repeat(transaction, earlier["leaf"])
            return self._log_conflict(transaction, moment, ask, body)
        outcome = self._run_rule(transaction, moment, ask)
        request = {"id": ask.request_id, "body": body, "result": fold_result(outcome.result)}
        *first, last = outcome.events
        for event in first:
            self._append(transaction, moment, event)
        leaf = self._append(transaction, moment, replace(last, private={**last.private, "request": request}))
        return Committed(outcome.result, leaf, moment.time)

    def _run_rule(self, transaction: Reading, moment: Moment, ask: Ask) -> Outcome:
        try:
            return self._rules[type(ask.request)](moment, transaction, ask.request)
        except Refusal as refusal:
            private = {"code": refusal.result.code, "message": refusal.result.message, **refusal.private}
            return Outcome((Event(REFUSED, private),), refusal.result)

    def _log_conflict(self, transaction: Transaction, moment: Moment, ask: Ask, body: str) -> Committed:
        refused = Refused(
            code=Code.REQUEST_CONFLICT,
            message=f"request ID {ask.request_id} was used before with another body",
            next_step="Use a new request ID for a new request",
        )
        event = Event(CONFLICT, {"id": ask.request_id, "body": body})
        return Committed(refused, self._append(transaction, moment, event), moment.time)

    def _append(self, transaction: Transaction, moment: Moment, event: Event) -> str:
        private = event.private
        if event.blobs:
            private = {**private, "blobs": [sha256_hex(data) for data in event.blobs]}
        sealed = seal(
            type_=event.type,
            time=moment.time,
            actor=moment.actor,
            public=event.public,
            private=private,
            salt=self._random(SALT_SIZE),
        )
        opened = OpenedEntry(
            type=event.type,
            time=moment.time,
            actor=moment.actor,
            public=event.public,
            private=private,
            leaf=sealed.leaf.hex(),
        )
        transaction.append(sealed, changes_of(opened, self._changes), event.blobs)
        return opened.leaf


def changes_of(entry: OpenedEntry, rooms: Mapping[str, ChangesOf]) -> list[Change]:
    """Everything that an entry changes: what its room says, and the row of the request that it answers.

    Raises :class:`LedgerError` for a type that no room knows.
    """
    if entry.type not in rooms and entry.type != CONFLICT:
        raise LedgerError(
            f"nobody here knows entries of type {entry.type[:80]!r}",
            subject=f"entry {entry.leaf}",
            next_step="Use the program that wrote it, or a newer one",
        )
    changes = [] if entry.type == CONFLICT else rooms[entry.type](entry)
    request: dict[str, Any] | None = entry.private.get("request")
    if request is not None:
        row = {"actor": entry.actor, "request_id": request["id"], "body": request["body"], "leaf": entry.leaf}
        changes = [*changes, Insert("requests", row)]
    return changes


def _repeat(store: Reading, leaf: str) -> Committed:
    entry = open_entry(*store.entry(leaf), subject=f"entry {leaf}")
    return Committed(unfold_result(entry.private["request"]["result"], store), leaf, entry.time)
