"""Reads topics as a store would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.conformance.collectors import Received

from clew.collectors.kafka.collector import KafkaCollector, Pace
from clew.collectors.kafka.settings import KafkaSettings

WAIT_S = 40.0
FAST = Pace(latency=0.05, watch=0.2, mark=0.2)


def read(kafka: KafkaSettings, received: Received | None = None, **more: Any) -> Received:
    """Everything there is now, behind what was received before."""
    received = received or Received()
    received.read(KafkaCollector(kafka, follow=False, **more))
    return received


class Following(Received):
    """What a collector that runs gives, and says."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.failed: list[BaseException] = []

    def wait(self, what: Callable[[], object]) -> None:
        """Wait until ``what`` holds."""
        deadline = time.monotonic() + WAIT_S
        while not what():
            assert not self.failed, self.failed
            assert time.monotonic() < deadline, (self.said, len(self.rows()))
            time.sleep(0.05)


@contextmanager
def following(
    kafka: KafkaSettings, received: Following | None = None, pace: Pace = FAST
) -> Iterator[Following]:
    """A collector that runs within the block."""
    received = received or Following()
    collector = KafkaCollector(kafka, pace=pace, tell=received.said.append)

    def run() -> None:
        try:
            for batch in collector.batches(dict(received.positions)):
                received.commit(batch)
        except BaseException as error:  # noqa: BLE001  told where it is waited for
            received.failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield received
    finally:
        collector.close()
        thread.join()
    assert not received.failed, received.failed
