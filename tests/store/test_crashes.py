"""Exactly once, whatever happens to the process, and fair turns while it runs."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.store.crashing import differences, kill_after, run, start, write_lines

from clew.reconstruct import open_store
from clew.reconstruct.duckdb.pipeline import MANY
from clew.reconstruct.model import FlowFilter

LINES, ROWS = 2_500, 100


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    write_lines(path, LINES)
    return path


@pytest.fixture(scope="module")
def undisturbed(lines: Path) -> Path:
    """A store of one run that nothing disturbed."""
    store = lines.with_name("undisturbed.duckdb")
    assert run(store, ROWS, lines) >= 25
    return store


@pytest.mark.parametrize(("seed", "times"), [(1, 7), (2, 7), (3, 6)])
def test_after_kills_at_random_moments_a_run_to_the_end_gives_the_same_store(
    lines: Path, undisturbed: Path, tmp_path: Path, seed: int, times: int
) -> None:
    """Twenty in all: before the first batch, between batches and within them."""
    chosen = random.Random(seed)
    number = kills = 0
    store = tmp_path / "0.duckdb"
    while kills < times:
        if kill_after(start(store, ROWS, lines), chosen.randrange(3), chosen.random() * 0.15):
            kills += 1
            continue
        assert differences(store, undisturbed) == {}, "it was done before the kill"
        number += 1
        store = tmp_path / f"{number}.duckdb"
    run(store, ROWS, lines)
    assert differences(store, undisturbed) == {}
    assert run(store, ROWS, lines) == 0, "nothing is left to read"


def test_a_reader_over_what_a_kill_left_sees_whole_batches(lines: Path, tmp_path: Path) -> None:
    store = tmp_path / "killed.duckdb"
    kill_after(start(store, ROWS, lines), 2, 0.05)
    with open_store(store, create=False) as opened:
        flows = list(opened.flows(FlowFilter()))
        (source,) = opened.sources()
        assert source.records >= 2 * ROWS * 0.9
        assert opened.summary().records == source.records
        assert sum(flow.records for flow in flows) + opened.summary().unattributed == source.records


def test_two_writers_at_once_both_finish_and_nothing_is_lost(tmp_path: Path) -> None:
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    write_lines(one, 600, seed=1)
    write_lines(other, 600, seed=2)
    together, in_turn = tmp_path / "together.duckdb", tmp_path / "in_turn.duckdb"
    writers = [start(together, 100, path) for path in (one, other)]
    for writer in writers:
        out, err = writer.communicate(timeout=120)
        assert (err, writer.returncode) == ("", 0)
        assert out.count("batch") >= 6
    run(in_turn, 500, one)
    run(in_turn, 500, other)
    assert set(differences(together, in_turn)) <= {"sources"}, "which of two brought what both have"


def test_two_writers_of_the_same_input_add_it_once(lines: Path, undisturbed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(lines.read_bytes())
    store = tmp_path / "store.duckdb"
    writers = [start(store, 400, path) for path in (lines, copy)]
    for writer in writers:
        _, err = writer.communicate(timeout=120)
        assert (err, writer.returncode) == ("", 0)
    differing = differences(store, undisturbed)
    assert set(differing) <= {"rejects", "sources"}, "what cannot be decoded has no identity"


def test_a_reader_during_an_ingest_always_gets_its_turn(tmp_path: Path) -> None:
    """Each answer is of whole batches, and none is older than the one before it."""
    store, lines = tmp_path / "store.duckdb", tmp_path / "lines.jsonl"
    write_lines(
        lines, 2 * MANY + 20_000
    )  # so many that they are never one transaction, however busy the machine
    with open_store(store, timeout=60) as reader:
        reader.summary()
        writer = start(store, 10_000, lines)
        seen = []
        while writer.poll() is None:
            summary = reader.summary()
            flows = list(reader.flows(FlowFilter(sort="started", descending=False, limit=5)))
            seen.append(summary.records)
            assert len(flows) == min(5, summary.flows) or summary.records < reader.summary().records
        _, err = writer.communicate()
        assert (err, writer.returncode) == ("", 0)
        assert seen == sorted(seen)
        assert len(set(seen)) > 2, "it read while the other wrote"
        assert reader.summary().records == sum(source.records for source in reader.sources())


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv[1:] = sys.argv[2:]
from clew.cli.main import main
sys.exit(main())
"""
"""The command on a disk that takes no file beyond a size: writes fail as on a full one."""


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_full_disk_ends_the_command_in_words_and_the_next_run_goes_on(
    lines: Path, undisturbed: Path, tmp_path: Path, share: float
) -> None:
    store = tmp_path / "full.duckdb"
    arguments = ["ingest", str(lines), "--store", str(store), "--no-progress"]
    limit = int(undisturbed.stat().st_size * share)
    full = subprocess.run(
        [sys.executable, "-c", FULL, str(limit), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert full.returncode == 4
    assert "no room left on its disk" in full.stderr
    assert "Free some room" in full.stderr
    assert "Traceback" not in full.stderr
    assert "nanobind" not in full.stderr
    run(store, ROWS, lines)
    assert differences(store, undisturbed) == {}
