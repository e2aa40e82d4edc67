"""The collector to which requests are handed: many of them become one batch."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from clew.collectors.otlp.decoding import Decoder
from clew.collectors.otlp.requests import Accepted, Answer, Encoding, Refused, Request, Signal
from clew.collectors.record import Batch, Lag, Outcome, Reject, Watermark, empty_select

if TYPE_CHECKING:
    from clew.collectors.formats.settings import Settings

LATENESS_US = 30_000_000
"""What comes by push is taken to be complete up to this long ago, unless said otherwise (DESIGN §3)."""
RAW_BYTES = 4096
SOURCES = {Encoding.PROTOBUF: "otlp", Encoding.JSON: "otlp", Encoding.ZIPKIN: "zipkin"}


@dataclass(frozen=True, slots=True)
class Pace:
    """How requests become batches."""

    linger: float = 0.2
    """Seconds that the first request waits for others: a transaction costs much the same
    for one as for many."""
    linger_alone: float = 0.7
    """The same while so little waits that nobody is in a hurry: a sender that has much to
    send, and waits for the answer to go on, sends large requests."""
    little_bytes: int = 32 << 10
    beat: float = 10.0
    """Seconds without a request after which a source that was heard of is said to have told
    all, so that what is owed is not taken for what has not been read."""
    batch_bytes: int = 16 << 20
    """Of bodies in one batch, so that the store is held for about a second at most."""
    waiting_bytes: int = 96 << 20
    """Of bodies that wait or are being written; beyond it requests are put off."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What was received since the start."""

    requests: int = 0
    """Answered for good: accepted or refused."""
    refused: int = 0
    """Of them, those of which nothing could be read."""
    records: int = 0
    rejected: int = 0
    """Records that were rejected among others."""
    put_off: int = 0
    """Requests that found no room."""
    waiting: int = 0
    """Requests taken and not yet answered."""
    waiting_bytes: int = 0


@dataclass(slots=True)
class _Taken:
    request: Request
    since: float
    number: int = 0
    alone: bool = False
    """It was in a batch that failed: it goes by itself, so that it hinders no other."""
    hopeless: str = ""
    """It failed by itself, for this reason."""


@dataclass(slots=True)
class _Given:
    """A batch that was given and is not settled."""

    taken: list[_Taken]
    bad: Mapping[int, str] = field(default_factory=dict)


class Receiver:
    """A collector that is pushed: :meth:`offer` takes requests, in any thread.

    *Sources* are ``otlp`` and ``zipkin``; a position is the number of the last request, and
    every record of a request has the request's number as its own.

    *Answers.* A request is answered when its batch is committed. The sender may send again
    whatever it got no answer to: a span is what it is by its content; a log record is one
    of so many alike *within its request*.

    *Watermark.* What was sent is taken to have come within ``lateness_us``.

    *Memory* is bounded: beyond ``pace.waiting_bytes`` there is no room for a request.

    *Failure.* When a batch could not be stored, :meth:`batches` ends. :meth:`failed` says
    how to go on, and :meth:`batches`, asked again, gives the same requests again.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        scope: str = "",
        pace: Pace | None = None,
        lateness_us: int = LATENESS_US,
    ) -> None:
        self._decoder = Decoder(settings)
        self._scope = scope
        self._pace = pace or Pace()
        self._lateness_us = lateness_us
        self._changed = threading.Condition()
        self._waiting: deque[_Taken] = deque()
        self._given: list[_Given] = []
        self._bytes = 0
        self._waiting_bytes = 0
        self._numbers: dict[str, int] = {}
        self._broken = False
        self._stopped = False
        self._tally = Tally()

    def offer(self, request: Request) -> bool:
        """Take a request, which will be answered; False where there is no room for it, or no more time."""
        with self._changed:
            size = len(request.body)
            if self._stopped or (self._bytes and self._bytes + size > self._pace.waiting_bytes):
                self._tally = replace(self._tally, put_off=self._tally.put_off + 1)
                return False
            self._bytes += size
            self._waiting_bytes += size
            self._waiting.append(_Taken(request, time.monotonic()))
            self._changed.notify_all()
            return True

    def has_room(self) -> bool:
        """Whether a request of usual size would be taken now."""
        with self._changed:
            return not self._stopped and self._bytes < self._pace.waiting_bytes

    @property
    def stopped(self) -> bool:
        """Whether no more requests are taken."""
        return self._stopped

    @property
    def tally(self) -> Tally:
        """What was received since the start."""
        with self._changed:
            given = sum(len(each.taken) for each in self._given)
            return replace(self._tally, waiting=len(self._waiting) + given, waiting_bytes=self._bytes)

    def batches(self, positions: Mapping[str, str]) -> Iterator[Batch]:
        """Batches as requests come, until :meth:`close` is called and what was taken is given."""
        for source in set(SOURCES.values()):
            number = positions.get(source, "")
            self._numbers[source] = int(number) if number.isdecimal() else 0
        with self._changed:
            self._broken = False
            self._take_back()
        while (taken := self._gather()) is not None:
            if not taken:
                yield from self._beats()
                continue
            given = _Given(taken)
            batch = self._batch(given)
            with self._changed:
                self._given.append(given)
            yield batch

    def failed(self, reason: str, *, passing: bool) -> None:
        """Say why :meth:`batches` ended, and whether the same requests may be stored later as they are.

        Otherwise each is given by itself; the one that fails by itself is refused for ``reason``.
        """
        with self._changed:
            if passing:
                return
            # They are written in their order: it was the first.
            for taken in self._given[0].taken if self._given else ():
                if taken.alone:
                    taken.hopeless = reason
                taken.alone = True

    def close(self) -> None:
        """Take no more requests; what was taken is still given. Safe to call twice, in any thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def drop(self, answer: Answer) -> None:
        """Give what is left one last answer."""
        with self._changed:
            self._take_back()
            left = list(self._waiting)
            self._waiting.clear()
            self._bytes = self._waiting_bytes = 0
        for taken in left:
            taken.request.answer(answer)

    # -- batches

    def _take_back(self) -> None:
        """Put what was given and not settled in front of what waits."""
        for given in reversed(self._given):
            self._waiting.extendleft(reversed(given.taken))
            self._waiting_bytes += sum(len(taken.request.body) for taken in given.taken)
        self._given.clear()

    def _gather(self) -> list[_Taken] | None:
        """The requests of the next batch, all of one encoding; none while nothing comes, None at the end."""
        with self._changed:
            silent_since = time.monotonic()
            while not self._is_time():
                if self._broken or (self._stopped and not self._waiting):
                    return None
                if self._waiting:
                    self._changed.wait(self._pace.linger / 4)
                    continue
                self._changed.wait(self._pace.beat)
                if not self._waiting and time.monotonic() - silent_since >= self._pace.beat:
                    return []
            encoding = self._waiting[0].request.encoding
            taken: list[_Taken] = []
            left: list[_Taken] = []
            size = 0
            while self._waiting and size < self._pace.batch_bytes:
                one = self._waiting.popleft()
                if one.request.encoding is not encoding or (taken and one.alone):
                    left.append(one)
                    continue
                taken.append(one)
                size += len(one.request.body)
                if one.alone:
                    break
            self._waiting.extendleft(reversed(left))
            self._waiting_bytes -= size
            return taken

    def _is_time(self) -> bool:
        if not self._waiting or self._broken:
            return False
        if self._waiting[0].alone or any(given.taken[0].alone for given in self._given):
            return not self._given
        if self._stopped or self._waiting_bytes >= self._pace.batch_bytes:
            # One is written, and another stands ready.
            return len(self._given) < 2  # noqa: PLR2004
        much = self._waiting_bytes > self._pace.little_bytes
        linger = self._pace.linger if much else self._pace.linger_alone
        return not self._given and time.monotonic() - self._waiting[0].since >= linger

    def _beats(self) -> Iterator[Batch]:
        """Batches without records, that move the watermarks of sources that were heard of."""
        for source, number in self._numbers.items():
            if number:
                yield Batch(
                    source=source,
                    raw=None,
                    select=empty_select(),
                    position=str(number),
                    watermark=self._watermark(),
                    scope=self._scope,
                    format=source,
                )

    def _batch(self, given: _Given) -> Batch:
        encoding = given.taken[0].request.encoding
        source = SOURCES[encoding]
        for taken in given.taken:
            self._numbers[source] += 1
            taken.number = self._numbers[source]
        hopeless = {taken.number: taken.hopeless for taken in given.taken if taken.hopeless}
        fit = [(taken.number, taken.request) for taken in given.taken if not taken.hopeless]
        records = [(number, request) for number, request in fit if request.signal is not Signal.METRICS]
        told, unread = _lags([one for one in fit if one[1].signal is Signal.METRICS])
        decoded = self._decoder.decode(encoding, records)
        given.bad = {**hopeless, **decoded.bad, **unread}
        return Batch(
            source=source,
            raw=decoded.raw,
            select=decoded.select,
            position=str(self._numbers[source]),
            rejects=tuple(
                Reject(taken.number, given.bad[taken.number], taken.request.body[:RAW_BYTES])
                for taken in given.taken
                if taken.number in given.bad
            ),
            watermark=self._watermark(),
            scope=self._scope,
            format=decoded.format,
            rowwise=True,
            bytes=sum(len(taken.request.body) for taken in given.taken),
            apart=True,
            lags=told,
            settle=partial(self._settle, given),
        )

    def _watermark(self) -> Watermark:
        return Watermark(time.time_ns() // 1000 - self._lateness_us, exact=False)

    def _settle(self, given: _Given, outcome: Outcome) -> None:
        """Answer the requests of a batch, or leave them to be given again."""
        with self._changed:
            if not outcome.committed:
                self._broken = True
                self._changed.notify_all()
                return
            self._given = [each for each in self._given if each is not given]
            answers = [_answer(taken.number, given.bad, outcome) for taken in given.taken]
            self._bytes -= sum(len(taken.request.body) for taken in given.taken)
            self._tally = replace(
                self._tally,
                requests=self._tally.requests + len(answers),
                refused=self._tally.refused + sum(isinstance(answer, Refused) for answer in answers),
                records=self._tally.records + outcome.records,
                rejected=self._tally.rejected
                + sum(answer.rejected for answer in answers if isinstance(answer, Accepted)),
            )
            self._changed.notify_all()
        for taken, answer in zip(given.taken, answers, strict=True):
            taken.request.answer(answer)


def _lags(metrics: Sequence[tuple[int, Request]]) -> tuple[tuple[Lag, ...], dict[int, str]]:
    """What requests tell of consumers' lag, and why one cannot be read."""
    if not metrics:
        return (), {}
    from clew.collectors.otlp.lags import lags
    from clew.collectors.otlp.wire import Malformed

    found: list[Lag] = []
    bad: dict[int, str] = {}
    for number, request in metrics:
        try:
            found += lags(request.encoding, request.body)
        except Malformed as error:
            bad[number] = str(error)
    return tuple(found), bad


def _answer(number: int, bad: Mapping[int, str], outcome: Outcome) -> Answer:
    if number in bad:
        return Refused(bad[number])
    rejected = outcome.rejected.get(number)
    if rejected is None:
        return Accepted()
    return Accepted(rejected.count, rejected.reason) if rejected.stored else Refused(rejected.reason)
