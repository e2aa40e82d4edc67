"""Reports over many flows say what ``fixtures/reports`` says, and what ``clew show`` draws of each.

A case is written as those of :mod:`tests.engine.cases` are; ``expect`` has a line for each step,
type and variant, in the order of the report. What a line does not tell is not there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.engine.cases import FIXTURES, Case, cases, settings_of
from tests.engine.cases import case as read_case
from tests.engine.pictures import put

from clew.reconstruct.detail import Step
from clew.reconstruct.duckdb.step_table import KINDS
from clew.reconstruct.duckdb.store import DuckStore
from clew.reconstruct.model import FlowFilter
from clew.reconstruct.reports import StepReport, TypeReport, Variant

EVERY = FlowFilter()
REPORTS = [
    read_case(f"{path.stem}-{number}", document)
    for path in sorted((FIXTURES / "reports").glob("*.yaml"))
    for number, document in enumerate(yaml.safe_load_all(path.read_text(encoding="utf-8")), 1)
]
DRAWN = cases("attribute", "fold", "instances", "judge", "order")


@pytest.fixture
def filled(case: Case, tmp_path: Path) -> Iterator[DuckStore]:
    with DuckStore(tmp_path / "clew.duckdb", settings=settings_of(case.settings, tmp_path)) as store:
        put(store, case.arrivals()[-1])
        yield store


@pytest.mark.parametrize("case", REPORTS, ids=[case.name for case in REPORTS])
def test_a_report_says_what_its_fixture_says(case: Case, filled: DuckStore) -> None:
    (expected,) = case.expect
    assert expected
    found = {
        "steps": [step_line(one) for one in filled.steps(EVERY)],
        "types": [type_line(one) for one in filled.types(EVERY)],
        "variants": [variant_line(one) for one in filled.variants(EVERY).listed],
    }
    for name, lines in expected.items():
        assert found[name] == lines, case.shows


@pytest.mark.parametrize("case", DRAWN, ids=[case.name for case in DRAWN])
def test_the_steps_of_all_flows_are_those_that_are_drawn_of_each(case: Case, filled: DuckStore) -> None:
    with filled.step_table(EVERY, None) as connection:
        rows = connection.execute("""
            SELECT c.flow_id, c.scope, s.kind, w.text, v.text, s.start, s.attempt, s.bad, s.wait_us
            FROM report.chosen AS c LEFT JOIN report.step AS s USING (flow)
            LEFT JOIN report.word AS w ON w.no = s.name_no LEFT JOIN report.word AS v ON v.no = s.service_no
        """).fetchall()
    told: dict[tuple[str, str], Counter[Any]] = {}
    for flow_id, scope, kind, *step in rows:
        steps = told.setdefault((flow_id, scope), Counter())
        if kind is not None:
            steps[KINDS[kind], *step] += 1
    assert told
    for (flow_id, scope), steps in told.items():
        detail = filled.flow(flow_id, scope)
        assert detail is not None
        assert steps == Counter(drawn(one) for one in detail.steps if not is_dead_letter(one)), case.shows


def drawn(step: Step) -> tuple[Any, ...]:
    start = step.start and step.start.replace(tzinfo=None)
    wait = step.queue_wait_us if step.attempt == 1 else None
    return (str(step.kind), step.name, step.service, start, step.attempt, step.status == "error", wait)


def is_dead_letter(step: Step) -> bool:
    return all(one.fields["kind"] == "dead_letter" for one in step.observations)


def step_line(one: StepReport) -> str:
    said = f"{one.kind} {one.name} @{one.service} x{one.count} in {one.flows}"
    if one.wait:
        said += f" waits {seconds(one.wait.p50_us)}"
    if one.work:
        said += f" work {seconds(one.work.p50_us)} by {'+'.join(one.work_from)}"
    if one.errors:
        said += f" errors {one.errors}"
    if one.retries:
        said += f" retries {one.retries}"
    return f"{said} total {seconds(one.total_us)}"


def type_line(one: TypeReport) -> str:
    settles = f" settles {seconds(one.consistency.p50_us)}" if one.consistency else ""
    return f"{one.type} {one.flows} flows {one.variants} variants{settles}"


def variant_line(one: Variant) -> str:
    steps = []
    for step in one.steps:
        times = "" if step.most == 1 else f" x{step.least}"
        times += f"-{step.most}" if step.most != step.least else ""
        steps.append(f"{step.service} {step.kind} {step.name}{times}")
    return f"{one.flows}: {', '.join(steps)}"


def seconds(us: int) -> str:
    return f"{us / 1e6:g}s"
