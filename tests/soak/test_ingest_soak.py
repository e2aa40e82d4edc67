"""The command itself, at size: killed, read from, written to by two, and out of room."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.store.crashing import differences, write_lines

from clew.reconstruct import open_store
from clew.reconstruct.model import FlowFilter

pytestmark = pytest.mark.soak

LINES = 600_000
KILLS = 20


def clew(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "clew.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ingest(store: Path, *paths: Path) -> subprocess.Popen[str]:
    return clew("ingest", *paths, "--store", store, "--no-progress", "--json")


def done(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate(timeout=900)
    assert (err, process.returncode) == ("", 0)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two files of different orders."""
    folder = tmp_path_factory.mktemp("lines")
    made = [folder / f"{seed}.jsonl" for seed in (1, 2)]
    for seed, path in enumerate(made, 1):
        write_lines(path, LINES // 2, seed=seed)
    return made


@pytest.fixture(scope="module")
def undisturbed(parts: list[Path]) -> tuple[Path, float]:
    """A store of one run, and the seconds it took."""
    store = parts[0].with_name("undisturbed.duckdb")
    begun = time.monotonic()
    done(ingest(store, *parts))
    return store, time.monotonic() - begun


@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_at_a_random_moment_and_run_again(
    parts: list[Path], undisturbed: tuple[Path, float], tmp_path: Path, seed: int
) -> None:
    store = tmp_path / "killed.duckdb"
    process = ingest(store, *parts)
    time.sleep(random.Random(seed).random() * undisturbed[1])
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done(ingest(store, *parts))
    assert differences(store, undisturbed[0]) == {}


def test_killed_again_and_again_and_run_to_the_end(
    parts: list[Path], undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    chosen = random.Random(99)
    store = tmp_path / "killed.duckdb"
    for _ in range(KILLS):
        process = ingest(store, *parts)
        time.sleep(0.3 + chosen.random() * undisturbed[1] / 3)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    done(ingest(store, *parts))
    assert differences(store, undisturbed[0]) == {}


def test_two_writers_and_three_readers(
    parts: list[Path], undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    store = tmp_path / "shared.duckdb"
    with open_store(store, timeout=300) as opened:
        opened.summary()
    writers = [ingest(store, part) for part in parts]
    asked = 0
    longest = 0.0
    with open_store(store, create=False, timeout=300) as reader:
        seen = []
        while any(writer.poll() is None for writer in writers):
            others = [clew("flows", "--store", store, "--limit", 5, "--json") for _ in range(2)]
            begun = time.monotonic()
            seen.append(reader.summary().records)
            longest = max(longest, time.monotonic() - begun)
            asked += 1
            for other in others:
                done(other)
        assert seen == sorted(seen)
    for writer in writers:
        done(writer)
    assert asked >= 2
    assert set(differences(store, undisturbed[0])) <= {"sources"}, "which of two brought what both have"
    sys.stdout.write(f"\n{asked} answers while two wrote; the longest wait was {longest:.2f} s\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_fills_up(parts: list[Path], undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    size = undisturbed[0].stat().st_size
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size // 2}", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip(f"no disk may be mounted here: {mounted.stderr.decode().strip()}")
    try:
        store = disk / "full.duckdb"
        process = ingest(store, *parts)
        _, err = process.communicate(timeout=600)
        assert process.returncode == 4
        assert "no room left on its disk" in err
        assert "Traceback" not in err
        with open_store(store, create=False) as opened:
            flows = opened.flows(FlowFilter())
            assert (
                sum(flow.records for flow in flows) + opened.summary().unattributed
                == opened.summary().records
            )
        subprocess.run(["mount", "-o", f"remount,size={size * 4}", str(disk)], check=True)
        done(ingest(store, *parts))
        assert differences(store, undisturbed[0]) == {}
    finally:
        subprocess.run(["umount", str(disk)], check=True)
