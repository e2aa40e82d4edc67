"""The collector of RabbitMQ does what every collector must, by streams and by taps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.conformance.collectors import CollectorConformance
from tests.rabbitmq.collecting import PACE
from tests.rabbitmq.publishing import Publisher

from clew.collectors.rabbitmq.collector import RabbitCollector
from clew.collectors.rabbitmq.reader import Limits
from clew.collectors.rabbitmq.settings import Exchange, RabbitSettings, Tap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.servers.rabbitmq import RabbitMQ

TIME = 1_772_366_400
"""Of every message, so that it is the same whenever it is read."""


class TestStreams(CollectorConformance):
    """One stream."""

    many_more = 4_000

    @pytest.fixture(autouse=True)
    def _stream(self, broker: RabbitMQ, publisher: Publisher, name: str) -> None:
        self.publisher = publisher
        self.to = ("", publisher.queue(name, queue_type="stream"))
        self.settings = RabbitSettings(url=broker.url, streams=(name,))

    def append(self, events: Sequence[str]) -> None:
        note = "påfyll " + (1200 if len(events) == self.many_more else 60) * "x"
        bodies = [json.dumps({"event_id": event, "note": note}).encode() for event in events]
        self.publisher.publish_many(*self.to, bodies, timestamp=TIME)

    def append_broken(self) -> None:
        self.publisher.publish_many(*self.to, [b'{"event_id": "caf\xe9"}'], timestamp=TIME)

    def make(self, *, batch_bytes: int = 2048) -> RabbitCollector:
        limits = Limits(batch_bytes=batch_bytes, held_bytes=4 * batch_bytes)
        return RabbitCollector(self.settings, limits=limits, pace=PACE)

    def progress(self, position: str) -> int:
        return int(json.loads(position)["rabbitmq"]["count"])


class TestTaps(TestStreams):
    """A tap of one exchange."""

    forgets = "a queue keeps nothing that was acknowledged"

    @pytest.fixture(autouse=True)
    def _stream(self, broker: RabbitMQ, publisher: Publisher, name: str) -> None:
        self.publisher = publisher
        self.to = (publisher.exchange(name), "key")
        self.settings = RabbitSettings(url=broker.url, exchanges=(Exchange(name),), tap=Tap(name))
        tapping = self.make()
        assert list(tapping.batches({})) == []
        tapping.close()
