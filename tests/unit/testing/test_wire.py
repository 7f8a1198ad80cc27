"""The wire does what its passages say, and nothing else; hours pass in no time."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from imprint.errors import FormatError
from imprint.protocol.answers import Answer, Done, Receipt
from imprint.protocol.intentions import Intention, ReleaseUnit
from imprint.protocol.port import LotPackage
from imprint.testing.virtual_time import START, VirtualTime, WallClock, time_stands_still
from imprint.testing.wire import CALM, LATE_S, MISHAPS, Passage, Weather, Wire

T = TypeVar("T")
RECEIPT = Receipt(leaf="00" * 32, time="2026-01-01T00:00:00.000Z", signature=b"")
GIVE_BACK = ReleaseUnit(lot="L", hardware_id="01020304", fence=1, reason="?")


class Authority:
    """Notes what arrives, when and in which order; ``fails`` is raised."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.arrived: list[tuple[float, str]] = []
        self.fails = fails

    async def ask(self, request_id: str, intention: Intention) -> Answer:
        self.arrived.append((asyncio.get_running_loop().time(), request_id))
        if self.fails is not None:
            raise self.fails
        return Answer(result=Done(state=f"{request_id} {len(self.arrived)}"), receipt=RECEIPT)

    async def is_valid(self, certificate: bytes) -> bool:
        raise FormatError(f"asked about {certificate!r}")

    async def lot(self, lot: str) -> LotPackage:
        raise FormatError(f"asked for {lot}")


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualTime) as loop:
        return loop.run(work)


def now() -> float:
    return asyncio.get_running_loop().time()


async def send(wire: Wire, request_id: str = "q", patience_s: float = 30) -> tuple[str, float]:
    """The answer, or silence; and when."""
    try:
        async with asyncio.timeout(patience_s):
            result = (await wire.ask(request_id, GIVE_BACK)).result
    except TimeoutError:
        return "silence", now()
    assert isinstance(result, Done)
    return result.state, now()


@pytest.mark.parametrize(
    ("passage", "answered", "arrivals"),
    [
        (CALM, ("q 1", 0), [0]),
        (MISHAPS["request lost"], ("silence", 30), []),
        (MISHAPS["reply lost"], ("silence", 30), [0]),
        (MISHAPS["request repeated"], ("q 1", 0), [0, 0]),
        (MISHAPS["request repeated late"], ("q 1", 0), [0, LATE_S]),
        (MISHAPS["request delayed past a retry"], ("silence", 30), [60]),
        (MISHAPS["request delayed past a takeover"], ("silence", 30), [LATE_S]),
        (MISHAPS["reply delayed past a retry"], ("silence", 30), [0]),
        (Passage(arrivals=(5,), reply=7), ("q 1", 12), [5]),
    ],
)
def test_a_passage_says_what_becomes_of_a_request(
    passage: Passage, answered: tuple[str, float], arrivals: list[float]
) -> None:
    authority = Authority()

    async def ask() -> tuple[str, float]:
        wire = Wire(authority, lambda _: passage)
        told = await send(wire)
        await wire.quiet()
        return told

    assert run(ask()) == answered
    assert [at for at, _ in authority.arrived] == arrivals


def test_the_reply_is_that_of_the_first_arrival() -> None:
    assert run(send(Wire(Authority(), lambda _: Passage(arrivals=(1, 0), reply=0)))) == ("q 2", 1)


def test_what_is_sent_later_may_arrive_earlier() -> None:
    authority = Authority()
    passages = {"one": Passage(arrivals=(2,)), "two": Passage(arrivals=(1,))}

    async def ask() -> None:
        wire = Wire(authority, passages.__getitem__)
        await asyncio.gather(send(wire, "one"), send(wire, "two"))

    run(ask())
    assert authority.arrived == [(1, "two"), (2, "one")]


@pytest.mark.parametrize("passage", [CALM, Passage(reply=1)])
def test_what_the_authority_raises_comes_back(passage: Passage) -> None:
    with pytest.raises(FormatError, match="no"):
        run(send(Wire(Authority(FormatError("no")), lambda _: passage)))


def test_a_lost_error_is_silence() -> None:
    assert run(send(Wire(Authority(FormatError("no")), lambda _: Passage(reply=None)))) == ("silence", 30)


def test_the_lot_is_asked_for_in_calm() -> None:
    with pytest.raises(FormatError, match="asked for L"):
        run(Wire(Authority(), lambda _: Passage(arrivals=())).lot("L"))


def passages(seed: int) -> list[Passage]:
    weather = Weather(seed)
    return [weather(str(number)) for number in range(400)]


def test_weather_comes_again_with_its_seed() -> None:
    assert passages(7) == passages(7) != passages(8)


def test_weather_brings_every_mishap_and_calm_and_says_so() -> None:
    weather = Weather(7)
    drawn = [weather(str(number)) for number in range(400)]
    assert {text.partition(": ")[2] for text in weather.log} == set(MISHAPS)
    assert "Weather(7), so far" in repr(weather)
    assert weather.log[0] in repr(weather)
    assert sum(len(one.arrivals) == 1 and one.reply is not None for one in drawn) > 250
    arrivals = [one.arrivals[0] for one in drawn if one.arrivals]
    assert arrivals != sorted(arrivals)


def test_time_passes_only_where_it_is_waited_for() -> None:
    async def wait() -> tuple[float, timedelta, timedelta]:
        clock = WallClock(asyncio.get_running_loop())
        await asyncio.sleep(100 * 24 * 3600)
        clock.jump(timedelta(hours=-1))
        jumped = clock() - START
        clock.set_right()
        return now(), jumped, clock() - START

    days = timedelta(days=100)  # if they were waited for, it would be spring by now
    assert run(wait()) == (8_640_000, days - timedelta(hours=1), days)


def test_time_stands_still_while_a_thread_is_at_work() -> None:
    """A timer is set, and the thread answers only when the loop would have skipped to it."""

    def work(go: threading.Event) -> None:
        go.wait()
        time.sleep(0.02)

    async def wait(still: Callable[[], Any]) -> float:
        timer = asyncio.create_task(asyncio.sleep(1000))
        go = threading.Event()
        asyncio.get_running_loop().call_later(0, go.set)
        with still():
            await asyncio.get_running_loop().run_in_executor(None, work, go)
        at = now()
        timer.cancel()
        return at

    assert run(wait(time_stands_still)) == 0
    with asyncio.Runner() as real:
        assert real.run(wait(time_stands_still)) > 0, "on a real loop it changes nothing"
