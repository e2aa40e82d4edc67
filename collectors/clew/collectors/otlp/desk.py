"""Where requests come in, whichever protocol brought them: room, opening, and the wait for the answer."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from clew.collectors.otlp.bodies import opened
from clew.collectors.otlp.lags import holds_lag
from clew.collectors.otlp.requests import Accepted, Answer, Encoding, Later, Request, Signal

if TYPE_CHECKING:
    from clew.collectors.otlp.receiver import Receiver

MOST_LATE = 10_000
NOTHING = frozenset({b"", b"{}", b"[]"})
METRICS = "these metrics are not kept: of metrics, clew keeps consumers' lag"


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
        self._late: OrderedDict[bytes, asyncio.Future[Answer]] = OrderedDict()
        """Requests that were not stored in time, by what they hold: who sends one of them again
        waits for the one that was taken, instead of adding to what waits."""

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
        if signal is Signal.METRICS and not holds_lag(body):
            return Accepted(0, METRICS)
        if body in NOTHING:
            return Accepted()
        key = self._key(encoding, signal, body) if self._late else b""
        waited_for = self._late.get(key)
        if waited_for is None:
            loop = asyncio.get_running_loop()
            waited_for = loop.create_future()
            request = Request(encoding, signal, body, partial(_tell, loop, waited_for))
            while not self.receiver.offer(request):
                if self.receiver.stopped:
                    return Later(1, "clew is about to end")
                if time.monotonic() > deadline - self.limits.answer_seconds / 2:
                    return Later(self._patience(), "the store is behind: too much waits to be written")
                await asyncio.sleep(0.05)
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                # Shielded, for it goes on when this sender's patience is over.
                answered = await asyncio.shield(waited_for)
        except TimeoutError:
            self._late[key or self._key(encoding, signal, body)] = waited_for
            while len(self._late) > MOST_LATE:
                self._late.popitem(last=False)
            return Later(self._patience(), "the store is behind: it was not written in time")
        self._late.pop(key, None)
        self._since_room = time.monotonic()
        return answered

    @staticmethod
    def _key(encoding: Encoding, signal: Signal, body: bytes) -> bytes:
        return hashlib.blake2b(body, digest_size=16, person=f"{encoding}{signal}".encode()).digest()

    def ready(self) -> str:
        """Why requests would be put off now; nothing where they would not."""
        if self.receiver.stopped:
            return "about to end"
        return "" if self.receiver.has_room() else "behind"

    def _patience(self) -> int:
        """Seconds to wait: the longer nothing was written, the more, up to what exporters put up with."""
        return 1 + min(4, int((time.monotonic() - self._since_room) / 10))


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Answer], given: Answer) -> None:
    """Answer, from whatever thread; nobody may be there to hear it any more."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_set, future, given)


def _set(future: asyncio.Future[Answer], given: Answer) -> None:
    if not future.done():
        future.set_result(given)
