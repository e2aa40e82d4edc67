"""What clew says of every flow is what really happened, also where its definition does not say all.

Every disagreement is listed with the flow, what was lost of it and clew's own sentence, and
explained in :data:`tests.truth.comparing.EXPLAINED`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.truth.comparing import NOT_LEARNED, Comparison, called_stuck, compare, ingested
from tests.truth.recordings import BLURS, record

from clew.reconstruct.learned import Asked
from clew.reconstruct.model import Settings

FULL = 10_000
SEEDS = (1, 2, 3, 4, 5)
TIMES = 20
WITHIN = 0.999
"""Of the flows are judged as they are."""
WITHIN_LEARNED = 0.98
"""The same without written definitions."""
TOO_EARLY = 0.001
"""Of those that end in their own time may ever be called stuck."""
WAYS = {"as defined": (), **{blur: (blur,) for blur in BLURS}, "all of it": BLURS}
CAUSES = {
    "dead_lettered",
    "processing_failed",
    "retrying",
    "waiting_for_flow",
    "slow_step",
    "never_consumed",
    "consumed_no_reaction",
    "waiting_for_join",
    "never_published",
    "unknown_end",
}
"""Each is the first cause of some flow of every recording."""


def compared(folder: Path, way: str, *, flows: int, seed: int, faults: float = 0.2) -> Comparison:
    recording = record(folder, flows=flows, seed=seed, blurs=WAYS[way], faults=faults)
    with ingested(recording, folder / "s.duckdb") as store:
        found = compare(store, recording, sample=min(flows // 20, 100))
    sys.stdout.write(f"\n{found.report(f'{way}, seed {seed}')}\n")
    return found


@pytest.mark.parametrize("way", WAYS)
def test_every_flow_is_judged_as_it_is(tmp_path: Path, way: str) -> None:
    whole = way in {"as defined", "all of it"}
    found = compared(tmp_path, way, flows=180 if whole else 90, seed=1)
    assert found.flows > (180 if whole else 90)
    assert not whole or set(found.by_cause) > CAUSES
    assert found.wrong == [], found.report(way)


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_every_flow_of_ten_thousand_is_judged_as_it_is(tmp_path: Path, seed: int) -> None:
    found = compared(tmp_path, "as defined", flows=FULL, seed=seed, faults=0.1)
    assert found.share >= WITHIN, found.report("as defined")
    assert found.unexplained == []


@pytest.mark.soak
@pytest.mark.parametrize("way", [way for way in WAYS if way != "as defined"])
def test_ten_thousand_are_judged_as_they_are_whatever_the_definitions_leave_out(
    tmp_path: Path, way: str
) -> None:
    found = compared(tmp_path, way, flows=FULL, seed=1, faults=0.1)
    assert found.share >= WITHIN, found.report(way)
    assert found.unexplained == []


@pytest.mark.soak
def test_most_of_ten_thousand_are_judged_as_they_are_by_what_was_learned_of_them_alone(
    tmp_path: Path,
) -> None:
    """Nobody wrote a definition. What no record tells, such as the limit that a team has in mind, is left out."""
    recording = record(tmp_path, flows=FULL, seed=1, faults=0.1)
    with ingested(recording, tmp_path / "s.duckdb", Settings()) as store:
        store.learn(Asked())
        whole = compare(store, recording, sample=100)
        found = compare(store, recording, sample=100, unknowable=NOT_LEARNED)
    sys.stdout.write(f"\n{found.report('learned')}\nof all flows: {whole.share:.3%}\n")
    assert found.share >= WITHIN_LEARNED, found.report("learned")


def early(folder: Path, way: str, *, flows: int, seed: int, times: int) -> tuple[int, int]:
    """How many flows are ever called stuck and end in their own time after all; and how many do that at all."""
    recording = record(folder, flows=flows, seed=seed, blurs=WAYS[way])
    in_time = sum(truth.in_time for truth in recording.flows)
    with ingested(recording, folder / "s.duckdb") as store:
        ever = set().union(*(stuck for _, stuck in called_stuck(store, recording, times)))
    sys.stdout.write(f"\n{way}: at {times} times {len(ever)} of {in_time:,} were called stuck too early\n")
    return len(ever), in_time


def test_what_ends_in_its_own_time_is_never_called_stuck(tmp_path: Path) -> None:
    ever, in_time = early(tmp_path, "all of it", flows=300, seed=2, times=TIMES)
    assert in_time > 200
    assert ever == 0


@pytest.mark.soak
@pytest.mark.parametrize("way", ["as defined", "all of it"])
def test_of_ten_thousand_hardly_one_that_ends_in_its_own_time_is_ever_called_stuck(
    tmp_path: Path, way: str
) -> None:
    ever, in_time = early(tmp_path, way, flows=FULL, seed=1, times=TIMES)
    assert ever <= TOO_EARLY * in_time
