"""What a collector or receiver does is told to other processes, as long as it runs and no longer."""

from __future__ import annotations

import json
import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.live.test_collect import WAIT_S, clew, collecting, wait_until
from tests.otlp.running import Command, free_ports, one_span, post, traces

from clew.cli.look import Look
from clew.cli.running_table import processes
from clew.reconstruct.running import RunningProcess, RunningSource, noticed, running

SOURCE = RunningSource("shop", "reading", 3, 1.5, 2_000, 1, 0, "", None)


def told() -> tuple[list[RunningSource], tuple[str, datetime | None]]:
    return [SOURCE], ("", None)


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    done = clew(folder, "sources", "--running", "--json")
    return {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_what_a_collector_does_is_told_from_another_process_and_that_it_was_killed(tmp_path: Path) -> None:
    with collecting(tmp_path, "e-1", "e-2") as process:
        wait_until(lambda: rows(tmp_path).get("logs", {}).get("records") == 2)
        wait_until(lambda: rows(tmp_path)["shop"]["error"] is not None)
        found = rows(tmp_path)
        assert (found["logs"]["state"], found["logs"]["rejects"]) == ("reading", 0)
        assert found["logs"]["error"] is None
        shop = found["shop"]
        assert (shop["state"], shop["running"], shop["pid"]) == ("waiting", True, process.pid)
        assert "cannot reach Kafka" in shop["error"]
        assert shop["started"] <= shop["error_time"] <= shop["updated"]
        table = clew(tmp_path, "sources").stdout
        assert f"clew collect  process {process.pid} on " in table
        assert "waiting" in table
        process.kill()
        process.wait()
        assert [row["running"] for row in rows(tmp_path).values()] == [False, False]
        assert "clew collect  not running: process" in clew(tmp_path, "sources").stdout
    with collecting(tmp_path, "e-1", "e-2") as again:
        wait_until(lambda: [row["pid"] for row in rows(tmp_path).values()] == [again.pid] * 2)
        again.send_signal(signal.SIGTERM)
        assert again.wait(timeout=WAIT_S) == 0
    assert rows(tmp_path) == {}
    assert list(tmp_path.glob("*.running.*")) == []
    assert "nothing writes to the store" in clew(tmp_path, "sources", "--running").stdout


def test_what_a_receiver_does_is_told_too(tmp_path: Path) -> None:
    grpc, http = free_ports(2)
    receiver = Command(tmp_path / "clew.duckdb", grpc=grpc, http=http)
    try:
        receiver.wait_until_ready()
        post(http, "/v1/traces", traces(one_span(1), one_span(2)))
        post(http, "/v1/traces", b"{")
        wait_until(lambda: rows(tmp_path)["received"]["rejects"] == 1)
        row = rows(tmp_path)["received"]
        assert (row["command"], row["state"], row["records"]) == ("clew receive", "receiving", 2)
        assert (row["store_error"], row["store_error_time"]) == (None, None)
        assert receiver.end()[0] == 0
    finally:
        receiver.kill()
    assert rows(tmp_path) == {}


def test_several_processes_are_told_apart_and_another_stores_are_not_told(tmp_path: Path) -> None:
    store, other = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    with (
        noticed(store, "clew collect", told),
        noticed(store, "clew receive", told),
        noticed(other, "x", told),
    ):
        wait_until(lambda: len(running(store)) == 2)
        found = running(store)
        assert [one.command for one in found] == ["clew collect", "clew receive"]
        assert all(one.running and one.sources == (SOURCE,) for one in found)
    assert running(store) == running(other) == []


def test_it_is_read_whole_while_it_is_written(tmp_path: Path) -> None:
    store = tmp_path / "a.duckdb"
    long = RunningSource("shop", "waiting", 1, 0.0, None, 0, 1, "x" * 20_000, datetime.now(UTC))
    given = iter([told(), *([([long], ("", None)), told()] * 200)])
    over = threading.Event()

    def turns() -> Any:
        found = next(given, None)
        if found is None:
            over.set()
        return found or told()

    from clew.reconstruct import running as module

    every, module.EVERY_S = module.EVERY_S, 0.0005
    try:
        with noticed(store, "clew collect", turns):
            wait_until(lambda: running(store))
            seen = set[int]()
            while not over.is_set():
                seen.add(len(running(store)))
    finally:
        module.EVERY_S = every
    assert seen == {1}


def test_a_folder_that_takes_no_file_stops_nobody(tmp_path: Path) -> None:
    with noticed(tmp_path / "missing" / "a.duckdb", "clew collect", told):
        assert running(tmp_path / "missing" / "a.duckdb") == []


def test_one_that_hangs_is_said_to(tmp_path: Path) -> None:
    def line(seconds: int) -> str:
        now = datetime.now(UTC)
        since, updated = now - timedelta(hours=1), now - timedelta(seconds=seconds)
        process = RunningProcess(
            command="clew collect",
            pid=7,
            host="shop-1",
            started=since,
            updated=updated,
            running=True,
            error="",
            error_time=None,
            sources=(SOURCE,),
        )
        return next(iter(processes([process], Look(200, "utf-8")))).plain

    assert "it hangs: nothing was heard of it for 40." in line(40)
    assert "hangs" not in line(5)
