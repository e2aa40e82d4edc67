"""Ingests that are killed, and stores compared by what they hold."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[2]

WORKER = """
import sys
from clew.collectors.files import FilesCollector
from clew.reconstruct import open_store
from clew.reconstruct.ingest import ingest

store, rows, *paths = sys.argv[1:]
with open_store(store, timeout=120) as opened:
    collector = FilesCollector(paths, batch_rows=int(rows))
    ingest(opened, collector, progress=lambda *_: print("batch", flush=True))
    collector.close()
"""
"""``clew ingest`` with batches so small that a little input makes many."""

TOLD_OTHERWISE = {
    "clew": None,
    "seen": None,
    "sources": "SELECT source, sum(records), sum(rejects) FROM {store}.sources GROUP BY source",
}
"""Tables that hold more than what must be equal: in which batch and when records were read."""


def write_lines(path: Path, count: int, *, seed: int = 1) -> None:
    """JSON lines of orders of eight events whose IDs lack in places, so that evidence is needed."""
    chosen = random.Random(seed)
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    with path.open("w") as file:
        for number in range(count):
            moment += timedelta(milliseconds=chosen.randrange(1, 50))
            line = {
                "time": moment.isoformat(timespec="milliseconds"),
                "level": "ERROR" if chosen.random() < 0.02 else "INFO",
                "service": f"service-{chosen.randrange(6)}",
                "event": f"Event{number % 8}",
                "event_id": f"{seed}-{number}",
                "message": f"handled in {chosen.randrange(900)} ms",
                "order_id": f"o-{seed}-{number // 8}",
            }
            if number % 8:
                line["causation_id"] = f"{seed}-{number - 1}"
            if chosen.random() < 0.9:
                line["correlation_id"] = f"order-{seed}-{number // 8}"
            file.write("no line of JSON\n" if number % 997 == 500 else json.dumps(line) + "\n")
            if number % 100 == 7:
                file.write('{"level": "INFO", "message": "the same line again and again"}\n')


def start(store: Path, rows: int, *paths: Path) -> subprocess.Popen[str]:
    """Begin an ingest in another process."""
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(store), str(rows), *map(str, paths)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(store: Path, rows: int, *paths: Path) -> int:
    """Ingest to the end; return the number of batches."""
    out, err = start(store, rows, *paths).communicate(timeout=300)
    assert err == ""
    return out.count("batch")


def kill_after(process: subprocess.Popen[str], batches: int, seconds: float) -> bool:
    """Kill -9 so long after so many batches; False when it was done before."""
    assert process.stdout is not None
    for _ in range(batches):
        if not process.stdout.readline():
            break
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    _, err = process.communicate()
    assert err == ""
    return process.returncode == -signal.SIGKILL


def differences(one: Path, other: Path) -> dict[str, int]:
    """Table → number of rows that only one of two stores has; equal stores give {}."""
    found = {}
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{one}' AS one (READ_ONLY)")
        connection.execute(f"ATTACH '{other}' AS other (READ_ONLY)")
        for (table,) in connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'one' ORDER BY ALL"
        ).fetchall():
            rows = TOLD_OTHERWISE.get(
                table,
                f"SELECT COLUMNS(lambda name: name NOT IN ('batch', 'source_no')) FROM {{store}}.{table}",
            )
            if rows is None:
                continue
            this, that = rows.format(store="one"), rows.format(store="other")
            differing = connection.execute(f"""
                SELECT count(*) FROM (
                    (({this}) EXCEPT ALL ({that})) UNION ALL (({that}) EXCEPT ALL ({this}))
                )
            """).fetchall()[0][0]
            if differing:
                found[table] = differing
    return found
