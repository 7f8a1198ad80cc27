"""A wire that loses, repeats, reorders and delays what a station and an authority say to each other.

Nothing is random here: what becomes of each request is a :class:`Passage`, and whoever makes the wire says which.
:class:`Weather` draws them from a seed. On :class:`imprint.testing.virtual_time.VirtualTime` no delay is waited for.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from imprint.protocol.answers import Answer
from imprint.protocol.intentions import Intention
from imprint.protocol.port import AuthorityPort, LotPackage
from imprint.testing.virtual_time import time_stands_still

MINUTE_S: Final = 60.0
LATE_S: Final = 150 * MINUTE_S  # past every retry of a station, and past a lease of an hour


@dataclass(frozen=True, slots=True)
class Passage:
    """What becomes of one request. ``arrivals`` are the seconds after which it reaches the authority, once for each;
    ``reply`` those that the first arrival's reply takes back, and None for a reply that is lost."""

    arrivals: tuple[float, ...] = (0.0,)
    reply: float | None = 0.0


CALM: Final = Passage()
MISHAPS: Final[Mapping[str, Passage]] = MappingProxyType(
    {
        "request lost": Passage(arrivals=()),
        "reply lost": Passage(reply=None),
        "request repeated": Passage(arrivals=(0.0, 0.0)),
        "request repeated late": Passage(arrivals=(0.0, LATE_S)),
        "request delayed past a retry": Passage(arrivals=(MINUTE_S,)),
        "request delayed past a takeover": Passage(arrivals=(LATE_S,), reply=None),
        "reply delayed past a retry": Passage(reply=MINUTE_S),
    }
)


class Weather:
    """Passages from a seed: most requests take up to ``spread_s`` seconds each way and so overtake each other; one in
    ``calm`` + 1 meets with a mishap, which ``log`` names with the number of the request."""

    def __init__(self, seed: int, *, calm: int = 3, spread_s: float = 2.0) -> None:
        self.seed: Final = seed
        self.log: list[str] = []
        self._chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self._calm = calm
        self._spread_s = spread_s
        self._count = 0

    def __call__(self, request_id: str) -> Passage:
        """The next request's."""
        self._count += 1
        out, back = self._chance.uniform(0, self._spread_s), self._chance.uniform(0, self._spread_s)
        if self._chance.randrange(self._calm + 1):
            return Passage(arrivals=(out,), reply=back)
        name = self._chance.choice(list(MISHAPS))
        self.log.append(f"{self._count} ({request_id}): {name}")
        mishap = MISHAPS[name]
        reply = None if mishap.reply is None else mishap.reply + back
        return Passage(arrivals=tuple(arrival + out for arrival in mishap.arrivals), reply=reply)

    def __repr__(self) -> str:
        return f"Weather({self.seed}), so far {', '.join(self.log) or 'calm'}"


class Wire:
    """:class:`imprint.protocol.port.AuthorityPort` with a wire between it and ``port``. ``passage`` is called with the
    request's ID each time that something is sent, retries included."""

    def __init__(self, port: AuthorityPort, passage: Callable[[str], Passage]) -> None:
        self._port = port
        self._passage = passage
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, request_id: str, intention: Intention) -> Answer:
        """As the port's own, but the answer may come late or never. What was sent stays under way when the caller has
        given up."""
        passage = self._passage(request_id)
        reply: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        for number, after in enumerate(passage.arrivals):
            back = passage.reply if number == 0 else None
            task = asyncio.create_task(self._carry(request_id, intention, after, back, reply))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return await reply

    async def is_valid(self, certificate: bytes) -> bool:
        """As the port's own; this one is always calm."""
        return await self._port.is_valid(certificate)

    async def lot(self, lot: str) -> LotPackage:
        """As the port's own; this one is always calm."""
        return await self._port.lot(lot)

    async def quiet(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.gather(*self._under_way)

    async def _carry(
        self, request_id: str, intention: Intention, after: float, back: float | None, reply: asyncio.Future[Answer]
    ) -> None:
        await asyncio.sleep(after)
        answer: Answer | Exception
        try:
            with time_stands_still():
                answer = await self._port.ask(request_id, intention)
        except Exception as problem:  # what the authority raises is its reply, too
            answer = problem
        if back is None:
            return
        await asyncio.sleep(back)
        if reply.done():  # the caller has given up
            return
        if isinstance(answer, Exception):
            reply.set_exception(answer)
        else:
            reply.set_result(answer)
