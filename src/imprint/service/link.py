"""The listening process's end of the socket to the deciding one."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from imprint.errors import StorageError
from imprint.service.question import Frames, Question, Reply, decode_reply, encode_question

_GONE: Final = "the deciding process has ended"


class Link(asyncio.Protocol):
    """Asks, and gives each reply to whom it belongs; calls ``on_lost`` when the other end has closed."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self.is_lost = False
        self._on_lost = on_lost
        self._transport: Any = None
        self._frames = Frames()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._count = 0
        self._may_write = asyncio.Event()
        self._may_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From now on it can be asked."""
        self._transport = transport

    def pause_writing(self) -> None:
        """The other end is behind: bodies wait in their requests, and not here on top of each other."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """Replies come in any order; one that nobody waits for any more was for a client that has gone."""
        for header, body in self._frames.feed(data):
            number, reply = decode_reply(header, body)
            waiting = self._waiting.pop(number)
            if not waiting.done():
                waiting.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits learns that the outcome is unknown."""
        self.is_lost = True
        self._may_write.set()
        self._on_lost()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(StorageError(_GONE))
        self._waiting.clear()

    async def ask(self, question: Question) -> Reply:
        """What was decided, durably. Raises the reply's error; :class:`StorageError` when the outcome is unknown."""
        await self._may_write.wait()
        if self.is_lost:
            raise StorageError(_GONE)
        self._count += 1
        waiting: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[self._count] = waiting
        self._transport.write(encode_question(self._count, question))
        reply = await waiting
        if reply.error is not None:
            raise reply.error
        return reply

    def close(self) -> None:
        """No more questions."""
        self._transport.close()
