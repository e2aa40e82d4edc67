"""The demo system: the same each time, and its truth is the truth about its files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clew.cli.demo import DEFINITIONS, DemoRun, run
from clew.cli.demo.plan import FAULTS, LIMITS
from clew.cli.demo.truth import ENDS
from clew.reconstruct.definitions import load

FLOWS = 320
"""Enough for every kind of fault to strike three times."""


@dataclass(frozen=True)
class Read:
    """A run, read back from its files."""

    run: DemoRun
    truth: dict[str, Any]
    logs: dict[tuple[int, int], dict[str, Any]]
    spans: dict[str, dict[str, Any]]

    def flows(self, fault: str) -> list[dict[str, Any]]:
        return [flow for flow in self.truth["flows"] if [part["kind"] for part in flow["faults"]] == [fault]]

    def lines(self, flow: dict[str, Any]) -> list[dict[str, Any]]:
        return [self.logs[file, line] for file, line in flow["records"]["logs"]]

    def flow_spans(self, flow: dict[str, Any]) -> list[dict[str, Any]]:
        return [self.spans[span] for span in flow["records"]["spans"]]


def read(made: DemoRun) -> Read:
    truth = json.loads(made.truth.read_text())
    logs: dict[tuple[int, int], dict[str, Any]] = {}
    spans: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(truth["files"]):
        for at, text in enumerate((made.folder / name).read_text().splitlines(), 1):
            value = json.loads(text)
            if name.startswith("logs/"):
                logs[number, at] = value
                continue
            for span in exported(value):
                assert span["spanId"] not in spans
                spans[span["spanId"]] = span
    return Read(made, truth, logs, spans)


def exported(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in request["resourceSpans"]:
        service = attributes(resource["resource"])["service.name"]
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield span | {"attributes": attributes(span), "service": service}


def attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {entry["key"]: next(iter(entry["value"].values())) for entry in holder["attributes"]}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Read:
    return read(run(tmp_path_factory.mktemp("demo"), flows=FLOWS, seed=7, faults=0.16))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run(tmp_path / name, flows=40, seed=seed)
    first, second, third = (files(tmp_path / name) for name in "abc")
    assert len(first) == 42
    assert first == second
    assert first != third


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    script = "from pathlib import Path; from clew.cli.demo import run; run(Path('x'), flows=40, seed=3)"
    for name, hashes in (("a", "1"), ("b", "2")):
        (tmp_path / name).mkdir()
        environment = os.environ | {
            "PYTHONHASHSEED": hashes,
            "TZ": "Asia/Kathmandu" if name == "a" else "UTC",
        }
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path / name, env=environment, check=True)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_the_users_own_opentelemetry_settings_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "plain", flows=20, seed=3)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1")
    run(tmp_path / "set", flows=20, seed=3)
    assert files(tmp_path / "plain") == files(tmp_path / "set")
    assert os.environ["OTEL_SDK_DISABLED"] == "true"


def test_a_second_run_replaces_the_first_and_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    run(tmp_path, flows=30, seed=1)
    run(tmp_path, flows=10, seed=2)
    run(tmp_path / "fresh", flows=10, seed=2)
    fresh = files(tmp_path / "fresh")
    assert {name: files(tmp_path)[name] for name in fresh} == fresh
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(("flows", "faults"), [(0, 0.1), (1, -0.1), (1, 1.5)])
def test_numbers_out_of_range_are_refused(tmp_path: Path, flows: int, faults: float) -> None:
    with pytest.raises(ValueError, match="must"):
        run(tmp_path, flows=flows, faults=faults)


def test_every_line_and_span_is_exactly_one_flows_or_background(demo: Read) -> None:
    lines = Counter(tuple(line) for line in demo.truth["background"]["logs"])
    spans = Counter(demo.truth["background"]["spans"])
    for flow in demo.truth["flows"]:
        lines.update(tuple(line) for line in flow["records"]["logs"])
        spans.update(flow["records"]["spans"])
    assert lines == Counter(demo.logs.keys())
    assert spans == Counter(demo.spans.keys())
    assert (demo.run.log_lines, demo.run.span_count) == (lines.total(), spans.total())
    assert demo.run.flows == len(demo.truth["flows"]) == FLOWS


def test_the_records_of_a_flow_are_those_expected_and_those_of_its_continuations(demo: Read) -> None:
    for flow in demo.truth["flows"]:
        parts = [flow["expected_records"], *(part["records"] for part in flow["continuations"])]
        for kind in ("logs", "spans"):
            together = [record for part in parts for record in part[kind]]
            assert sorted(map(str, together)) == sorted(map(str, flow["records"][kind]))


def test_expected_records_lead_to_their_correlation_id_by_what_is_written(demo: Read) -> None:
    """A record has the ID itself, or its trace has it and no other."""
    of_trace: dict[str, set[str]] = defaultdict(set)
    for line in demo.logs.values():
        if "trace_id" in line and "correlation_id" in line:
            of_trace[line["trace_id"]].add(line["correlation_id"])
    for span in demo.spans.values():
        found = span["attributes"].get("messaging.message.conversation_id")
        if found is not None:
            of_trace[span["traceId"]].add(found)
    for flow in demo.truth["flows"]:
        main = {"correlation_id": flow["correlation_id"], "records": flow["expected_records"]}
        for part in [main, *flow["continuations"]]:
            logs = [demo.logs[file, line] for file, line in part["records"]["logs"]]
            spans = [demo.spans[span] for span in part["records"]["spans"]]
            found = [line.get("correlation_id") or line["trace_id"] for line in logs]
            found += [
                span["attributes"].get("messaging.message.conversation_id") or span["traceId"]
                for span in spans
            ]
            reached = {only for each in found for only in of_trace.get(each, {each})}
            assert reached == {part["correlation_id"]}


def test_files_are_in_the_order_of_time_and_end_with_the_newest_record(demo: Read) -> None:
    by_file: dict[int, list[str]] = defaultdict(list)
    for (file, _), line in sorted(demo.logs.items()):
        by_file[file].append(line["timestamp"])
    assert all(times == sorted(times) for times in by_file.values())
    newest_log = max(times[-1] for times in by_file.values())
    newest_span = max(int(span["endTimeUnixNano"]) for span in demo.spans.values())
    as_of = demo.truth["as_of"]
    assert as_of == f"{demo.run.as_of:%Y-%m-%dT%H:%M:%S.%f}Z"
    assert max(newest_log, f"{_text(newest_span)}") == as_of


def _text(time_ns: int) -> str:
    from clew.cli.demo.clock import as_datetime

    return f"{as_datetime(time_ns):%Y-%m-%dT%H:%M:%S.%f}Z"


def test_nothing_of_this_machine_is_in_the_files(demo: Read) -> None:
    here = str(Path(__file__).resolve().parents[2])
    for path in (*demo.run.logs, *demo.run.spans):
        text = path.read_text()
        assert here not in text
        assert "site-packages" not in text


def test_a_file_holds_only_its_own_service(demo: Read) -> None:
    for (file, _), line in demo.logs.items():
        assert demo.truth["files"][file] == f"logs/{line['service']}.jsonl"


def test_definitions_say_what_the_truth_judges_by() -> None:
    definitions = load(DEFINITIONS)
    assert {one.name: one.limit_us for one in definitions} == {
        name: seconds * 1_000_000 for name, seconds in LIMITS.items()
    }
    assert {event: outcome for one in definitions for event, outcome in one.ends} == ENDS


def test_every_event_of_the_definitions_occurs(demo: Read) -> None:
    seen = {line.get("event_type") for line in demo.logs.values()}
    for one in load(DEFINITIONS):
        steps = {event for rule in one.rules for event in rule.events}
        assert {*one.start, *steps, *(event for event, _ in one.ends)} <= seen


EXPECTED = {
    # kind of fault: (with definitions, without)
    "retry_then_success": ("completed", "completed"),
    "retries_exhausted": ("failed", "failed"),
    "dead_lettered": ("dead_lettered", "dead_lettered"),
    "never_handled": ("stuck", "stuck"),
    "hung": ("stuck", "stuck"),
    "consumed_no_reaction": ("stuck", "completed"),
    "join_lacks_input": ("stuck", "completed"),
    "compensated": ("compensated", "completed"),
    "rejected": ("failed", "completed"),
    "cancelled": ("cancelled", "completed"),
    "duplicate_delivery": ("completed", "completed"),
    "slow": ("completed", "completed"),
    "logs_without_correlation": ("completed", "completed"),
    "new_trace": ("completed", "completed"),
    "span_link": ("completed", "completed"),
    "lost_context": ("stuck", "stuck"),
}


def test_every_kind_of_fault_is_there_and_leads_to_its_status(demo: Read) -> None:
    assert set(EXPECTED) == set(FAULTS)
    for kind, statuses in EXPECTED.items():
        flows = demo.flows(kind)
        assert len(flows) >= 3, kind
        found = Counter(tuple(flow["expected_status"].values()) for flow in flows)
        # What is still under way when the recording ends is neither.
        assert set(found) <= {statuses, ("in_progress", "in_progress"), ("in_progress", "completed")}, kind
        assert found[statuses] > 0, kind
        assert all(flow["late"] is (kind == "slow") for flow in flows), kind


def test_some_flows_are_still_under_way_at_the_end(tmp_path: Path) -> None:
    made = read(run(tmp_path, flows=600, seed=1, faults=0))
    statuses = Counter(flow["expected_status"]["with_definitions"] for flow in made.truth["flows"])
    assert set(statuses) == {"completed", "in_progress"}
    assert statuses["in_progress"] >= 3


def struck(flow: dict[str, Any]) -> tuple[str, str]:
    (fault,) = flow["faults"]
    return fault["service"], fault["event"]


def test_a_message_that_nobody_handles_leaves_no_trace_at_its_consumer(demo: Read) -> None:
    for flow in demo.flows("never_handled"):
        service, event = struck(flow)
        assert any(line.get("event_type") == event for line in demo.lines(flow))
        assert not any(
            line["service"] == service and line["event_type"] == event
            for line in demo.lines(flow)
            if "event_type" in line
        )


def test_a_hung_handler_has_log_lines_in_a_span_that_is_never_exported(demo: Read) -> None:
    for flow in demo.flows("hung"):
        service, event = struck(flow)
        lines = [
            line
            for line in demo.lines(flow)
            if line["service"] == service and line.get("event_type") == event
        ]
        (started,) = [line for line in lines if line.get("operation") == "process"]
        assert started["message"] == f"handling {event}"
        assert started["span_id"] not in demo.spans


def test_a_dead_letter_has_the_headers_of_spring_kafka(demo: Read) -> None:
    for flow in demo.flows("dead_lettered"):
        service, event = struck(flow)
        (line,) = [line for line in demo.lines(flow) if "kafka_dlt-original-topic" in line]
        assert (line["service"], line["event_type"], line["severity"]) == (service, event, "ERROR")
        assert line["destination"] == f"{line['kafka_dlt-original-topic']}-dlt"
        assert line["kafka_dlt-original-consumer-group"] == service
        (sent,) = [
            line
            for line in demo.lines(flow)
            if line.get("operation") == "send"
            and line["event_type"] == event
            and not line["destination"].endswith("-dlt")
        ]
        assert line["event_id"] == sent["event_id"]
        failed = [
            span for span in demo.flow_spans(flow) if span["kind"] == 5 and span["status"].get("code") == 2
        ]
        assert len(failed) == 3


def test_retries_end_in_success_or_in_giving_up(demo: Read) -> None:
    for kind in ("retry_then_success", "retries_exhausted"):
        for flow in demo.flows(kind):
            if flow["expected_status"]["with_definitions"] == "in_progress":
                continue
            service, event = struck(flow)
            own = [
                line
                for line in demo.lines(flow)
                if line["service"] == service and line.get("event_type") == event
            ]
            failed = [line for line in own if "error.stack" in line]
            assert flow["error_lines"] == sum(line["severity"] == "ERROR" for line in demo.lines(flow))
            if kind == "retries_exhausted":
                assert [line["attempt"] for line in failed] == [1, 2, 3]
                assert own[-1]["retries_exhausted"] is True
            else:
                assert 1 <= len(failed) <= 2
                assert any(line["message"] == f"handled {event}" for line in own)


def test_a_duplicate_is_handled_twice_under_one_event_id(demo: Read) -> None:
    for flow in demo.flows("duplicate_delivery"):
        if flow["expected_status"]["with_definitions"] == "in_progress":
            continue
        service, event = struck(flow)
        handled = [
            (line["event_id"], line["partition"], line["offset"])
            for line in demo.lines(flow)
            if line["service"] == service and line["message"] == f"handling {event}"
        ]
        assert len(handled) == 2
        assert len(set(handled)) == 1


def test_context_is_lost_in_the_ways_that_the_faults_say(demo: Read) -> None:
    def handling(flow: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        service, _ = struck(flow)
        lines = [line for line in demo.lines(flow) if line["service"] == service]
        return lines, [
            span for span in demo.flow_spans(flow) if span["service"] == service and span["kind"] == 5
        ]

    for flow in demo.flows("logs_without_correlation"):
        lines, _ = handling(flow)
        bare = [line for line in lines if "correlation_id" not in line]
        assert bare
        assert all("trace_id" in line and "event_id" not in line for line in bare)
    for flow in demo.flows("new_trace"):
        _, spans = handling(flow)
        assert any("parentSpanId" not in span and "links" not in span for span in spans)
    for flow in demo.flows("span_link"):
        _, spans = handling(flow)
        assert any("parentSpanId" not in span and span["links"][0]["spanId"] in demo.spans for span in spans)
    for flow in demo.flows("lost_context"):
        (continuation,) = flow["continuations"]
        lines, spans = handling(flow)
        assert not any(flow["correlation_id"] in json.dumps(record) for record in [*lines, *spans])
        assert continuation["correlation_id"] != flow["correlation_id"]
        assert not any("order_id" in line for line in lines)


def test_consumer_spans_name_their_message_and_follow_their_producer(demo: Read) -> None:
    for span in demo.spans.values():
        given = span["attributes"]
        assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"])
        if given.get("messaging.operation.type") != "process":
            continue
        assert given["messaging.consumer.group.name"] == span["service"]
        sender = demo.spans.get(span.get("parentSpanId", ""))
        if sender is not None and sender["attributes"].get("messaging.operation.type") == "send":
            assert sender["attributes"]["messaging.message.id"] == given["messaging.message.id"]
            assert int(sender["startTimeUnixNano"]) < int(span["startTimeUnixNano"])
