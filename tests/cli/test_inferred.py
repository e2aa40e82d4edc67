"""--inferred joins a flow with what it likely goes on as, and says everywhere that nobody observed it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Run = Callable[..., "CompletedProcess[str]"]
Golden = Callable[[str, str], None]

BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)
DEFINITIONS = "flows: {order: {start: Placed, steps: [{event: Paid, service: bank}], limit: 1m}}\n"


def line(ms: int, service: str, name: str, operation: str, order: str, **more: Any) -> str:
    time = (BEGIN + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
    topic = {"Placed": "orders", "Paid": "payments"}[name]
    said = f"{'published' if operation == 'send' else 'handling'} {name}"
    fields = {"timestamp": time, "severity": "INFO", "service": service, "message": said, "event_type": name}
    return json.dumps(
        {**fields, "operation": operation, "destination": topic, "correlation_id": order, **more}
    )


def orders() -> Iterator[str]:
    for number in range(20):
        at, own = 10_000 * number, {"sku": f"sku-{number}"}
        order = f"order-{number}"
        yield line(
            at, "shop", "Placed", "send", order, event_id=f"p-{number}", order_id=f"{4700 + number}", **own
        )
        wait = 15 + 3 * (number % 7)
        yield line(at + wait, "bank", "Placed", "process", order, event_id=f"p-{number}", **own)
        cause = {"event_id": f"q-{number}", "causation_id": f"p-{number}"}
        yield line(at + wait + 120, "bank", "Paid", "send", order, **cause, **own)
    yield line(94_000, "shop", "Placed", "send", "order-x", event_id="p-x", order_id="4799", sku="sku-99")
    yield line(94_023, "bank", "Placed", "process", "bank-77", sku="sku-99")
    yield line(94_140, "bank", "Paid", "send", "bank-77", event_id="q-x", sku="sku-99")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory, run_in: Callable[[Path], Run]) -> Path:
    folder = tmp_path_factory.mktemp("bank")
    (folder / "flows.yaml").write_text(DEFINITIONS, encoding="utf-8")
    done = run_in(folder)("ingest", "-", "--definitions", "flows.yaml", stdin="\n".join(orders()) + "\n")
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("stuck", ["stuck"]),
        ("stuck-inferred", ["stuck", "--inferred"]),
        ("flows-inferred", ["flows", "--inferred", "--key", "order_id=4799"]),
        ("show-inferred", ["show", "4799", "--inferred"]),
        ("why", ["why", "4799"]),
        ("why-inferred", ["why", "4799", "--inferred"]),
        ("types-inferred", ["types", "--inferred"]),
        ("variants-inferred", ["variants", "order", "--inferred"]),
        ("none-so-likely", ["stuck", "--inferred", "--likelihood", "1"]),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_command_prints_what_its_golden_file_says(
    name: str, arguments: list[str], bank: Path, run_in: Callable[[Path], Run], golden: Golden
) -> None:
    done = run_in(bank)(*arguments, COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    golden(f"inferred/{name}", done.stdout)


def test_an_id_of_the_continuation_leads_to_the_joined_flow(
    bank: Path, run_in: Callable[[Path], Run]
) -> None:
    for known in ("bank-77", "bank-7", "q-x", "order-x"):
        done = run_in(bank)("show", known, "--inferred", "--json")
        assert (done.returncode, json.loads(done.stdout)["flow_id"]) == (0, "order-x")


def test_json_says_how_likely_it_is_and_by_what(bank: Path, run_in: Callable[[Path], Run]) -> None:
    run = run_in(bank)
    apart = [json.loads(text) for text in run("flows", "--json").stdout.splitlines()]
    assert {flow["inferred"] for flow in apart} == {None}
    assert {flow["flow_id"]: flow["status"] for flow in apart}["order-x"] == "stuck"
    joined = [json.loads(text) for text in run("flows", "--inferred", "--json").stdout.splitlines()]
    assert len(joined) == len(apart) - 1
    (one,) = [flow for flow in joined if flow["inferred"] is not None]
    assert (one["flow_id"], one["status"], one["records"]) == ("order-x", "completed", 3)
    assert 0.9 < one["inferred"] < 1
    told = json.loads(run("show", "4799", "--inferred", "--json").stdout)
    assert [step["via"] for step in told["steps"]] == [None, "inferred", "causation"]
    (how,) = told["joined"]
    assert (how["flow_id"], how["continued"], how["after"], how["service"]) == (
        "order-x",
        "bank-77",
        "Placed",
        "bank",
    )
    assert how["agree"] == ["sku=sku-99"]
    cause = json.loads(run("why", "4799", "--inferred", "--json").stdout)["causes"][0]
    assert (cause["cause"], cause["explains"], cause["likelihood"]) == (
        "lost_context",
        False,
        how["likelihood"],
    )


def test_a_script_may_wait_for_what_is_stuck_even_when_joined(
    bank: Path, run_in: Callable[[Path], Run]
) -> None:
    run = run_in(bank)
    assert run("stuck", "--exit-code").returncode == 1
    assert run("stuck", "--exit-code", "--inferred").returncode == 0
    assert run("stuck", "--exit-code", CLEW_INFERRED="1").returncode == 0
    assert run("stuck", "--inferred", "--likelihood", "0.5").returncode == 2


def test_reports_count_what_is_joined_as_one(bank: Path, run_in: Callable[[Path], Run]) -> None:
    run = run_in(bank)

    def told(*arguments: str) -> list[dict[str, Any]]:
        done = run(*arguments, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        return [json.loads(text) for text in done.stdout.splitlines()]

    apart = {one["type"]: one["flows"] for one in told("types")}
    joined = {one["type"]: one["flows"] for one in told("types", "--inferred")}
    assert apart == {"order": 22}
    assert joined == {"order": 21}
    assert [one["flows"] for one in told("variants", "order")] == [20, 1, 1]
    assert [one["flows"] for one in told("variants", "order", "--inferred")] == [21]
    paid = [
        one["flows"]
        for one in told("steps", "order", "--inferred")
        if (one["name"], one["kind"]) == ("Paid", "publish")
    ]
    assert paid == [21]
    window = ("compare", "--at", "2026-01-31T12:01:30Z", "--all")
    before = {(one["type"], one["measure"]): one for one in told(*window)}
    after = {(one["type"], one["measure"]): one for one in told(*window, "--inferred")}
    assert before != after
