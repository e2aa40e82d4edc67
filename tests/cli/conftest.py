"""Flows made of fixtures/cli, golden outputs, and a way to run the command as a user does."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from clew.cli.main import main
from clew.reconstruct.detail import Evidence, FlowDetail, FlowLink, Observation, Step, StepKind
from clew.reconstruct.model import Flow, Owed, Status

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "cli"
BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)

Golden = Callable[[str, str], None]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def golden() -> Golden:
    """Compares a whole output with ``fixtures/cli/<name>.txt``; CLEW_UPDATE_GOLDEN=1 writes it."""

    def compare(name: str, output: str) -> None:
        path = FIXTURES / f"{name}.txt"
        if os.environ.get("CLEW_UPDATE_GOLDEN"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(output, encoding="utf-8")
        assert path.exists(), f"no {path}: run once with CLEW_UPDATE_GOLDEN=1 and read what it wrote"
        assert output == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Calls ``clew`` in an empty folder, with streams of its own and without the caller's settings."""
    return functools.partial(_call, tmp_path)


@pytest.fixture(scope="session")
def run_in() -> Callable[[Path], Run]:
    """The same, in the folder given."""
    return lambda folder: functools.partial(_call, folder)


@pytest.fixture
def process(tmp_path: Path) -> Run:
    """The same as a process of its own, where streams and start-up are the point."""
    return functools.partial(_process, tmp_path)


def _environment(own: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "NO_COLOR"))}
    return kept | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "100"} | own


def _call(
    folder: Path, *arguments: str | Path, stdin: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    written = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(buffer, "utf-8") for buffer in written)
    given = io.TextIOWrapper(io.BytesIO((stdin or "").encode()), "utf-8")
    with (
        mock.patch.dict(os.environ, _environment(environment), clear=True),
        mock.patch.multiple(sys, stdout=out, stderr=err, stdin=given),
        contextlib.chdir(folder),
    ):
        status = main(list(map(str, arguments)))
        out.flush()
        err.flush()
    told = [buffer.getvalue().decode() for buffer in written]
    return subprocess.CompletedProcess(["clew", *map(str, arguments)], status, *told)


def _process(
    folder: Path, *arguments: str | Path, stdin: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clew.cli.main", *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env=_environment(environment),
        timeout=120,
        check=False,
    )


@pytest.fixture
def detail() -> Callable[[str], FlowDetail]:
    """A flow of ``fixtures/cli/show``."""

    def load(name: str) -> FlowDetail:
        return read_detail(FIXTURES / "show" / f"{name}.yaml")

    return load


@pytest.fixture
def flow_of() -> Callable[[dict[str, Any]], Flow]:
    """Makes a flow of what a fixture tells."""
    return _flow


@pytest.fixture
def one_step() -> Step:
    """A step with nothing odd about it."""
    return _step({"id": 0, "name": "step", "kind": "span", "start": 0, "end": 1})


@functools.cache
def read_detail(path: Path) -> FlowDetail:
    """The flow that a fixture describes."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    steps: list[Step] = []
    for told in tree["steps"]:
        steps.extend(_steps(told))
    return FlowDetail(
        flow=_flow(tree["flow"]),
        steps=tuple(steps),
        loose=tuple(_observation(one) for one in tree.get("loose", ())),
        links=tuple(FlowLink(**one) for one in tree.get("links", ())),
        truncated=tree.get("truncated", 0),
        as_of=_time(tree.get("as_of")),
    )


def _time(ms: float | None) -> datetime | None:
    return None if ms is None else BEGIN + timedelta(milliseconds=ms)


def _flow(told: dict[str, Any]) -> Flow:
    owed = told.get("owed")
    if owed is not None:
        since = _time(owed["since"])
        assert since is not None
        owed = Owed(**{**owed, "since": since, "deadline": _time(owed.get("deadline"))})
    return Flow(
        flow_id=told["flow_id"],
        scope=told.get("scope", ""),
        type=told["type"],
        status=Status(told["status"]),
        also=tuple(Status(one) for one in told.get("also", ())),
        cause=told.get("cause"),
        late=told.get("late", False),
        started=_time(told.get("started")),
        last=_time(told.get("last")),
        deadline=_time(told.get("deadline")),
        owed=owed,
        records=told["records"],
        events=told["events"],
        errors=told.get("errors", 0),
        dead_letters=told.get("dead_letters", 0),
        missing_parents=told.get("missing_parents", 0),
        services=tuple(told.get("services", ())),
        keys={name: tuple(values) for name, values in told.get("keys", {}).items()},
        evidence=told["evidence"],
    )


def _observation(told: dict[str, Any]) -> Observation:
    fields = {name: value for name, value in told.items() if name not in {"evidence", "shared"}}
    if "time" in fields:
        fields["time"] = _time(fields["time"])
    return Observation(Evidence(told["evidence"]), told.get("shared", False), fields)


def _step(told: dict[str, Any]) -> Step:
    wait = told.get("queue_wait_ms")
    return Step(
        id=told["id"],
        parent=told.get("parent"),
        via=told.get("via"),
        kind=StepKind(told["kind"]),
        name=told["name"],
        service=told.get("service"),
        start=_time(told.get("start")),
        end=_time(told.get("end")),
        open=told.get("open", False),
        queue_wait_us=None if wait is None else wait * 1000,
        skew_us=told.get("skew_ms", 0) * 1000,
        system=told.get("system"),
        destination=told.get("destination"),
        partition=told.get("partition"),
        offset=told.get("offset"),
        consumer_group=told.get("consumer_group"),
        event_id=told.get("event_id"),
        span_id=told.get("span_id"),
        attempt=told.get("attempt", 1),
        status=told.get("status", "ok"),
        error_type=told.get("error_type"),
        error_message=told.get("error_message"),
        dead_letter=told.get("dead_letter"),
        missing_parent=told.get("missing_parent"),
        shared=told.get("shared", False),
        observations=tuple(_observation(one) for one in told.get("observations", ())),
        logs=tuple(_observation(one) for one in told.get("logs", ())),
    )


def _steps(told: dict[str, Any]) -> list[Step]:
    """A step, or its copies with the steps below each."""
    copies, below = told.get("copies", 1), told.get("below", ())
    made: list[Step] = []
    one = _step(told)
    for number in range(copies):
        later = timedelta(milliseconds=told.get("every", 0) * number)
        step = _later(replace(one, id=one.id + number * (1 + len(below))), later)
        if told.get("chained") and number:
            step = replace(step, parent=made[-1].id, via="causation")
        if "alternate" in told:
            step = replace(step, service=told["alternate"][number % len(told["alternate"])])
        made.append(step)
        for place, effect in enumerate(below, 1):
            odd = told.get("odd", {}).get(number, {})
            child = _step({**effect, **odd, "id": step.id + place, "parent": step.id})
            longer = timedelta(milliseconds=effect.get("longer_every", 0) * number)
            child = _later(child, later)
            end = None if child.open or child.end is None else child.end + longer
            made.append(replace(child, end=end))
    return made


def _later(step: Step, by: timedelta) -> Step:
    start = None if step.start is None else step.start + by
    return replace(step, start=start, end=None if step.end is None else step.end + by)
