"""``clew demo --live`` as a process, and what its store holds compared with its truth.json."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from clew.reconstruct import open_store
from clew.reconstruct.causes.why import why
from clew.reconstruct.model import FlowFilter

PATIENCE_S = 180
FLOWS = ("--flows", "40", "--faults", "0.45", "--seed", "5", "--speed", "300")

Members = tuple[Counter[tuple[str, int]], set[str], set[tuple[str, str]]]
"""Of a flow's own records: (service, epoch microseconds) of logs, IDs of spans, (topic, event ID) of messages."""


class Demo:
    """One run, in ``folder``."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._said = folder.with_name(f"{folder.name}.said").open("w+", encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLEW_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clew.cli.main", "demo", str(folder), *options],
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=folder.parent,
            env=kept | {"COLUMNS": "200"},
        )

    @property
    def said(self) -> str:
        """What it has written to stderr by now."""
        return Path(self._said.name).read_text(encoding="utf-8")

    def close(self) -> None:
        """Take it away."""
        self.process.kill()
        self.process.communicate()
        self._said.close()


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[Demo]:
    """A run that is over when the block is."""
    running = Demo(folder, *options)
    try:
        yield running
    finally:
        running.close()


def ran(folder: Path, *options: str) -> str:
    """Run it to its end; what it printed."""
    with demo(folder, *FLOWS, *options) as running:
        out, _ = running.process.communicate(timeout=PATIENCE_S)
        assert running.process.returncode == 0, running.said
    return out


def interrupted(folder: Path, *options: str) -> str:
    """Run it until the first flow has ended or is stuck, and then press Ctrl-C; what it printed."""
    with demo(folder, *FLOWS, *options, "--flows", "20") as running:
        assert running.process.stdout is not None
        first = running.process.stdout.readline()
        assert re.match(r"\d\d:\d\d:\d\d ", first), (first, running.said)
        running.process.send_signal(signal.SIGINT)
        out, _ = running.process.communicate(timeout=PATIENCE_S)
        assert running.process.returncode == 0, running.said
    return out


def truth(folder: Path) -> dict[str, Any]:
    """What really happened."""
    found: dict[str, Any] = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    return found


def members(folder: Path) -> dict[str, Members]:
    """Flow → its own records, as the store's tables have them."""
    found: dict[str, Members] = {}
    with duckdb.connect(str(folder / "clew.duckdb"), read_only=True) as connection:
        rows = connection.execute("""
            SELECT f.flow_id, s.source, t.kind, t.service, t.destination, epoch_us(r.time), r.span_id, r.event_id
            FROM records AS r
            JOIN flows AS f USING (flow) JOIN series AS t USING (series) JOIN sources AS s USING (source_no)
        """).fetchall()
    for flow_id, source, kind, service, destination, time_us, span_id, event_id in rows:
        logs, spans, messages = found.setdefault(flow_id, (Counter(), set(), set()))
        if source != "otlp":
            # A dead letter names the topic that it came from.
            messages.add((destination + ("-dlt" if kind == "dead_letter" else ""), event_id))
        elif kind == "span":
            spans.add(span_id)
        else:
            logs[service, time_us] += 1
    return found


def differences(folder: Path, *, ended: bool = True) -> list[str]:
    """What the store holds otherwise than really happened: members, and where all had time to end, verdicts."""
    happened, stored = truth(folder), members(folder)
    services = [name.removeprefix("logs of ") for name in happened["files"]]
    wrong: list[str] = []
    expected: set[str] = set()
    with open_store(folder / "clew.duckdb") as store:
        told = {flow.flow_id: flow for flow in store.flows(FlowFilter())}
        for flow in happened["flows"]:
            name, faults = flow["correlation_id"], flow["faults"]
            parts = [(name, flow["expected_records"])]
            parts += [(other["correlation_id"], other["records"]) for other in flow["continuations"]]
            for part, records in parts:
                expected.add(part)
                logs = Counter((services[file], time_us) for file, time_us in records["logs"])
                wanted = logs, set(records["spans"]), {tuple(one) for one in records["messages"]}
                if stored.get(part) != wanted:
                    wrong.append(f"{part} has other records: {faults}")
            if not ended or name not in told:
                continue
            is_, status = told[name], flow["expected_status"]["with_definitions"]
            cause = why(store, name) if is_.cause is not None else None
            found = is_.type, is_.status, None if cause is None else cause.cause, is_.late
            if found != (flow["type"], status, flow["expected_cause"], flow["late"]):
                wrong.append(f"{name} is {found}, not {status}, {flow['expected_cause']}: {faults}")
    if expected != set(told):
        wrong.append(f"other flows: {expected ^ set(told)}")
    return wrong


def dead_letters(folder: Path) -> int:
    """How many the store has from the broker itself."""
    with duckdb.connect(str(folder / "clew.duckdb"), read_only=True) as connection:
        row = connection.execute("""
            SELECT count(*) FROM records
            JOIN series USING (series) JOIN sources USING (source_no)
            WHERE source <> 'otlp' AND kind = 'dead_letter'
        """).fetchone()
    assert row is not None
    return int(row[0])
