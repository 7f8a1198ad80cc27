"""Questions through the journal: asked once, whatever happens to the answer or to the process."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from journals import CERTIFIED, CLAIMED, TIME

from imprint.errors import StorageError, Unreachable
from imprint.protocol.answers import Answer, Receipt, Result
from imprint.protocol.codec import encode_intention
from imprint.protocol.intentions import ClaimUnit, Intention
from imprint.protocol.port import LotPackage
from imprint.station.asker import Asker
from imprint.station.journal import Journal, open_journal
from imprint.station.journal_entry import RunStarted
from imprint.testing.virtual_time import VirtualTime

STARTED = RunStarted(run="r", lot="L", hardware_id="01020304", fixture="0", time=TIME)
RECEIPT = Receipt(leaf="00" * 32, time=TIME, signature=b"s" * 64)


def claim(hardware_id: str = "01020304") -> ClaimUnit:
    return ClaimUnit(lot="L", run="r", hardware_id=hardware_id)


class Authority:
    """Answers from a list; an exception in it is raised. Keeps what it was asked."""

    def __init__(self, *answers: Result | Exception, before: Callable[[], None] = lambda: None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, bytes]] = []
        self.before = before

    async def ask(self, request_id: str, intention: Intention) -> Answer:
        self.before()
        self.asked.append((request_id, encode_intention(intention)))
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return Answer(result=found, receipt=RECEIPT)

    async def is_valid(self, certificate: bytes) -> bool:
        raise AssertionError("not asked here")

    async def lot(self, lot: str) -> LotPackage:
        raise AssertionError("not asked here")


def ask(journal: Journal, authority: Authority, intention: Intention, step: str = "claim") -> Result:
    """In virtual time: no pause and no patience is waited for."""
    with asyncio.Runner(loop_factory=VirtualTime) as loop:
        return loop.run(Asker(run="r", port=authority, journal=journal).ask(step, intention))


def test_the_body_is_journalled_before_it_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "j"
    seen: list[bytes] = []
    authority = Authority(CLAIMED, before=lambda: seen.append(path.read_bytes()))
    with open_journal(path) as journal:
        journal.append(STARTED)
        assert ask(journal, authority, claim()) == CLAIMED
    assert b'"request":"r.claim"' in seen[0]
    assert b'"answered"' not in seen[0]
    assert b'"answered"' in path.read_bytes()


def test_an_answered_question_is_answered_from_the_journal(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j") as journal:
        journal.append(STARTED)
        ask(journal, Authority(CLAIMED), claim())
    silent = Authority()
    with open_journal(tmp_path / "j") as journal:
        assert ask(journal, silent, claim("99999999")) == CLAIMED
    assert silent.asked == []


def test_an_unanswered_question_is_asked_again_word_for_word(tmp_path: Path) -> None:
    dead = Authority(*[StorageError("lost")] * 4)
    with open_journal(tmp_path / "j") as journal:
        journal.append(STARTED)
        with pytest.raises(StorageError, match="outcome is unknown"):
            ask(journal, dead, claim())
    alive = Authority(CLAIMED)
    with open_journal(tmp_path / "j") as journal:
        assert Asker(run="r", port=alive, journal=journal).has_asked("claim")
        assert ask(journal, alive, claim("99999999")) == CLAIMED
    assert {*alive.asked, *dead.asked} == {("r.claim", encode_intention(claim()))}


def test_a_lost_answer_is_asked_for_again_at_once(tmp_path: Path) -> None:
    authority = Authority(StorageError("lost"), StorageError("lost"), CLAIMED)
    with open_journal(tmp_path / "j") as journal:
        journal.append(STARTED)
        assert ask(journal, authority, claim()) == CLAIMED
    assert len(authority.asked) == 3
    assert len(set(authority.asked)) == 1


def test_an_authority_that_hangs_is_an_unknown_outcome(tmp_path: Path) -> None:
    asked_at: list[float] = []

    class Hanging(Authority):
        async def ask(self, request_id: str, intention: Intention) -> Answer:
            asked_at.append(asyncio.get_running_loop().time())
            await asyncio.sleep(3600)
            raise AssertionError("nobody waits so long")

    with open_journal(tmp_path / "j") as journal:
        journal.append(STARTED)
        with pytest.raises(StorageError, match="outcome is unknown"):
            ask(journal, Hanging(), claim())
    assert asked_at == pytest.approx([0, 30.2, 61.2, 96.2])


def test_other_errors_of_the_port_are_not_swallowed(tmp_path: Path) -> None:
    with open_journal(tmp_path / "j") as journal:
        journal.append(STARTED)
        with pytest.raises(ZeroDivisionError):
            ask(journal, Authority(ZeroDivisionError()), claim())


def test_steps_have_request_ids_of_their_own(tmp_path: Path) -> None:
    authority = Authority(CLAIMED, CERTIFIED)
    with open_journal(tmp_path / "j") as journal:
        journal.append(STARTED)
        ask(journal, authority, claim(), step="claim")
        ask(journal, authority, claim(), step="certify")
    assert [request for request, _ in authority.asked] == ["r.claim", "r.certify"]


def test_an_authority_that_is_away_is_waited_for_however_long(tmp_path: Path) -> None:
    told: list[str] = []
    authority = Authority(*[Unreachable("no answer") for _ in range(500)], CLAIMED)
    with open_journal(tmp_path / "j") as journal, asyncio.Runner(loop_factory=VirtualTime) as loop:
        journal.append(STARTED)
        asker = Asker(run="r", port=authority, journal=journal, report=told.append)
        began = loop.get_loop().time()
        assert loop.run(asker.ask("claim", claim())) == CLAIMED
        assert loop.get_loop().time() - began > 3600
    assert told == ["no answer"] * 500
    assert set(authority.asked) == {("r.claim", encode_intention(claim()))}


def test_the_steps_clock_stands_still_while_the_authority_is_away(tmp_path: Path) -> None:
    async def step(asker: Asker) -> str:
        try:
            async with asyncio.timeout(10) as deadline:
                asker.deadline = deadline
                await asyncio.sleep(6)
                await asker.ask("claim", claim())
                await asyncio.sleep(3)
                await asker.ask("certify", claim())
                await asyncio.sleep(3)
        except TimeoutError:
            return "the step took too long"
        return "in time"

    authority = Authority(*[Unreachable("no answer") for _ in range(50)], CLAIMED, CERTIFIED)
    with open_journal(tmp_path / "j") as journal, asyncio.Runner(loop_factory=VirtualTime) as loop:
        journal.append(STARTED)
        began = loop.get_loop().time()
        asker = Asker(run="r", port=authority, journal=journal)
        assert loop.run(step(asker)) == "the step took too long", "12 s of its own are more than 10"
        assert loop.get_loop().time() - began > 300
    assert len(authority.asked) == 52
