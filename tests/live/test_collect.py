"""``clew collect``: all sources of clew.toml in one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.live.test_supervision import write

from clew.collectors.files.collector import FilesCollector
from clew.reconstruct import open_store
from clew.reconstruct.collecting import collect
from clew.reconstruct.errors import StoreError

WAIT_S = 60.0
CLEW = [sys.executable, "-m", "clew.cli.main"]


def clew(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("CLEW_")}
    return subprocess.run(
        [*CLEW, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def sources(folder: Path) -> dict[str, dict[str, Any]]:
    done = clew(folder, "sources", "--json")
    return {Path(row["source"]).name: row for row in map(json.loads, done.stdout.splitlines())}


def wait_until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@contextmanager
def collecting(folder: Path, *events: str) -> Iterator[subprocess.Popen[bytes]]:
    """``clew collect`` of a file that tells of ``events``, and of a Kafka that is not there; ``said`` has its talk."""
    write(folder / "a.jsonl", list(events))
    (folder / "clew.toml").write_text(
        """
        [source.logs]
        collector = "files"
        path = ["a.jsonl"]

        [source.shop]
        collector = "kafka"
        bootstrap = "127.0.0.1:1"
        topic = ["orders"]
        property = {"client.id" = "me", "reconnect.backoff.ms" = "10"}
        """,
        encoding="utf-8",
    )
    with (folder / "said").open("w") as said:
        process = subprocess.Popen([*CLEW, "collect"], cwd=folder, stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_source_that_is_away_stops_no_other_and_sigterm_stores_what_was_read(tmp_path: Path) -> None:
    with collecting(tmp_path, "e-1") as running:
        wait_until(lambda: sources(tmp_path).get("a.jsonl", {}).get("records") == 1)
        write(tmp_path / "a.jsonl", ["e-2"])
        wait_until(lambda: sources(tmp_path)["a.jsonl"]["records"] == 2)
        wait_until(lambda: "shop: cannot reach Kafka" in (tmp_path / "said").read_text())
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=WAIT_S) == 0
    said_text = (tmp_path / "said").read_text()
    assert "stopped by SIGTERM; the same command goes on from there" in said_text
    assert said_text.count("cannot reach Kafka") == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "no source stands in clew.toml"),
        ('[source.a]\ncollector = "kafak"\n', "[source.a] names no collector that there is"),
        ('[source.a]\ncollector = "files"\npaht = "x"\n', "a source of files has no option 'paht'"),
        ('[source.a]\ncollector = "files"\n', "Missing option '--path'"),
        (
            '[source.a]\ncollector = "kafka"\nbootstrap = "b"\ntopic = "^("\n',
            "no regular expression: '^('",
        ),
        (
            '[source.a]\ncollector = "kafka"\nbootstrap = "b"\ntopic = "t"\nproperty = {"sasl.password" = "${NO_SUCH}"}\n',
            "the environment variable NO_SUCH is not set",
        ),
    ],
)
def test_a_wrong_source_is_said(tmp_path: Path, settings: str, message: str) -> None:
    (tmp_path / "clew.toml").write_text(settings, encoding="utf-8")
    done = clew(tmp_path, "collect")
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_store_that_others_hold_is_waited_for(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", ["e-1"])
    path = tmp_path / "clew.duckdb"
    with open_store(path, create=True) as store:
        store.summary()
    held, troubles = threading.Event(), list[StoreError]()
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('held', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"

    def trouble(error: StoreError) -> None:
        troubles.append(error)
        if not held.is_set():
            held.set()
            holder.communicate(b"")

    with open_store(path, timeout=0.3) as store:
        report = collect(store, lambda: FilesCollector([str(tmp_path / "a.jsonl")]), trouble=trouble)
    assert report.new == 1
    assert len(troubles) == 1
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchall() == [(1,)]
