"""Where requests come in, whichever protocol brought them: room, opening, and the wait for the answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clew.collectors.otlp.bodies import opened
from clew.collectors.otlp.requests import Accepted, Answer, Encoding, Later, Request, Signal

if TYPE_CHECKING:
    from clew.collectors.otlp.receiver import Receiver

NOTHING = frozenset({b"", b"{}", b"[]"})
METRICS = "metrics are not kept: clew puts flows together from traces and logs"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one sender can ask for. Times in seconds."""

    body_bytes: int = 16 << 20
    """Of a body, packed or opened."""
    reading_bytes: int = 64 << 20
    """Of all bodies that are being read or opened."""
    header_bytes: int = 32 << 10
    header_seconds: float = 10.0
    """From a connection, or the answer before, to the end of a request's head."""
    body_seconds: float = 30.0
    connections: int = 512
    """Over HTTP; of more, the one that has been idle the longest is closed."""
    answer_seconds: float = 8.0
    """A request is answered by then: exporters give up after ten."""


class Desk:
    """Hands requests to a receiver. Its methods run in the servers' one event loop."""

    def __init__(self, receiver: Receiver, limits: Limits) -> None:
        self.receiver = receiver
        self.limits = limits
        self._reading = 0
        self._room = asyncio.Condition()
        self._since_room = time.monotonic()

    async def take_room(self, size: int, deadline: float) -> bool:
        """Room for ``size`` more bytes of a body; False where there is none by ``deadline`` (monotonic)."""
        async with self._room:
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._room.wait_for(
                        lambda: not self._reading or self._reading + size <= self.limits.reading_bytes
                    )
            except TimeoutError:
                return False
            self._reading += size
            return True

    async def give_room(self, size: int) -> None:
        """What was taken."""
        async with self._room:
            self._reading -= size
            self._room.notify_all()

    async def ask(self, encoding: Encoding, signal: Signal, body: bytes, *, packed: bool) -> Answer:
        """Hand a whole body on and wait for its answer.

        Raises:
            TooLarge, NotPacked: the packed body cannot be opened.
        """
        deadline = time.monotonic() + self.limits.answer_seconds
        if packed:
            body = await asyncio.to_thread(opened, body, self.limits.body_bytes)
        if signal is Signal.METRICS:
            return Accepted(0, METRICS)
        if body in NOTHING:
            return Accepted()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()

        def answer(given: Answer) -> None:
            loop.call_soon_threadsafe(_set, future, given)

        request = Request(encoding, signal, body, answer)
        while not self.receiver.offer(request):
            if self.receiver.stopped:
                return Later(1, "clew is about to end")
            if time.monotonic() > deadline - self.limits.answer_seconds / 2:
                return Later(self._patience(), "the store is behind: too much waits to be written")
            await asyncio.sleep(0.05)
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                answered = await future
        except TimeoutError:
            return Later(self._patience(), "the store is behind: it was not written in time")
        self._since_room = time.monotonic()
        return answered

    def ready(self) -> str:
        """Why requests would be put off now; nothing where they would not."""
        if self.receiver.stopped:
            return "about to end"
        return "" if self.receiver.has_room() else "behind"

    def _patience(self) -> int:
        """Seconds to wait: the longer nothing was written, the more, up to what exporters put up with."""
        return 1 + min(4, int((time.monotonic() - self._since_room) / 10))


def _set(future: asyncio.Future[Answer], given: Answer) -> None:
    if not future.done():
        future.set_result(given)
