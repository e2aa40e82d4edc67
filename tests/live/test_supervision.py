"""Several collectors as one: what fails is started again, and keeps nobody else from going on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from tests.conformance.collectors import CollectorConformance, Received

from clew.collectors.collector import Collector
from clew.collectors.errors import SourceUnavailable, UnknownFormat
from clew.collectors.files.collector import FilesCollector
from clew.collectors.record import Batch, Outcome
from clew.collectors.supervision import State, Supervisor


def write(path: Path, events: Sequence[str]) -> None:
    with path.open("a") as file:
        file.writelines(
            json.dumps({"time": "2026-01-05T12:00:00Z", "message": 40 * "x", "event_id": event}) + "\n"
            for event in events
        )


class TestSupervised(CollectorConformance):
    """One collector that never fails is what it is without a supervisor."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.file = tmp_path / "service.jsonl"
        self.file.touch()

    def append(self, events: Sequence[str]) -> None:
        write(self.file, events)

    def append_broken(self) -> None:
        with self.file.open("ab") as file:
            file.write(b'{"event_id": "caf\xe9"}\n')

    def make(self, *, batch_bytes: int = 2048) -> Supervisor:
        return Supervisor({"logs": lambda: FilesCollector([str(self.file)], batch_bytes=batch_bytes)})

    def progress(self, position: str) -> int:
        return int(json.loads(position).get("offset", 0))


class Failing:
    """Reads a file, and fails after so many batches, as long as ``failures`` last."""

    def __init__(self, path: Path, failures: list[Exception], after: int) -> None:
        self._inner = FilesCollector([str(path)], batch_bytes=2048)
        self._failures = failures
        self._after = after

    def batches(self, positions: Mapping[str, str]) -> Iterator[Batch]:
        for number, batch in enumerate(self._inner.batches(positions)):
            if number == self._after and self._failures:
                raise self._failures.pop()
            yield batch

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("after", [0, 1, 3])
def test_one_that_fails_goes_on_from_what_was_stored(tmp_path: Path, after: int) -> None:
    events = [f"e-{number}" for number in range(200)]
    write(tmp_path / "a.jsonl", events)
    failures: list[Exception] = [SourceUnavailable("away"), RuntimeError("a bug"), OSError("the network")]
    said: list[str] = []
    made: list[Collector] = []

    def make() -> Collector:
        made.append(Failing(tmp_path / "a.jsonl", failures, after))
        return made[-1]

    supervisor = Supervisor({"a": make}, tell=said.append, first_pause=0.01)
    received = Received()
    received.read(supervisor)
    assert received.events == Counter(events)
    assert len(made) == 4
    status = supervisor.statuses["a"]
    assert (status.state, status.failures, status.error) == (State.ENDED, 3, "away")
    assert status.records == 200
    assert said.count("a: it works again") == (1 if after == 0 else 3)
    assert said[0] == "a: the network; it is tried again"


def test_one_that_fails_for_ever_stops_no_other(tmp_path: Path) -> None:
    events = [f"e-{number}" for number in range(50)]
    write(tmp_path / "a.jsonl", events)
    endless: list[Exception] = [SourceUnavailable("away")] * 10_000
    supervisor = Supervisor(
        {
            "bad": lambda: Failing(tmp_path / "a.jsonl", endless, 0),
            "good": lambda: FilesCollector([str(tmp_path / "a.jsonl")], scope="good"),
        },
        first_pause=0.01,
    )
    received = Received()
    for batch in supervisor.batches({}):
        received.commit(batch)
        if len(received.events) == 50:
            break
    supervisor.close()
    assert received.events == Counter(events)
    assert supervisor.statuses["bad"].failures > 0
    assert supervisor.statuses["bad"].error == "away"


def test_one_that_is_set_up_wrongly_is_not_tried_again(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", ["e"])
    said: list[str] = []
    wrong: list[Exception] = [UnknownFormat("no format 'x'")]
    supervisor = Supervisor({"a": lambda: Failing(tmp_path / "a.jsonl", wrong, 0)}, tell=said.append)
    assert list(supervisor.batches({})) == []
    supervisor.close()
    assert supervisor.statuses["a"].state is State.WRONG
    assert said == ["a: no format 'x'; it is not tried again"]


def test_what_could_not_be_stored_is_given_again_by_the_next_reading(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [f"e-{number}" for number in range(200)])
    supervisor = Supervisor({"a": lambda: FilesCollector([str(tmp_path / "a.jsonl")], batch_bytes=2048)})
    received = Received()
    given = supervisor.batches(received.positions)
    received.commit(next(given))
    lost = next(given)
    assert lost.settle is not None
    lost.settle(Outcome(committed=False))
    supervisor.close()
    received.read(Supervisor({"a": lambda: FilesCollector([str(tmp_path / "a.jsonl")])}))
    assert received.events == Counter({f"e-{number}": 1 for number in range(200)})
