"""``clew define``: what it writes can be read back, and judges the flow that it came from as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from clew.reconstruct.definitions import SCHEMA

Run = Callable[..., "CompletedProcess[str]"]
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
WAY = ("OrderPlaced", "PaymentTaken", "OrderPacked", "OrderShipped")
FLOWS = """\
flows:
  order:
    start: OrderPlaced
    steps: [PaymentTaken, {event: OrderPacked, service: stock}]
    ends: {completed: OrderShipped, failed: OrderRejected}
    limit: 1m
"""


def order(flow: str, *way: str, begin: float = 0, **more: Any) -> Iterator[str]:
    """The lines of one order: each event 5 s after the one that caused it."""
    for number, name in enumerate(way or WAY):
        told = {
            "time": (NOON + timedelta(seconds=begin + 5 * number)).isoformat(),
            "service": "stock" if name == "OrderPacked" else "shop",
            "event_name": name,
            "event_id": f"{flow}-{number}",
            "correlation_id": flow,
            "message": "told",
            **({"causation_id": f"{flow}-{number - 1}", "order_id": f"ord-{flow}"} if number else {}),
            **more,
        }
        yield json.dumps(told)


def ingest(run: Run, lines: Iterable[str], *options: str | Path) -> None:
    done = run("ingest", "-", *options, stdin="\n".join(lines) + "\n")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_written_from_a_flow_judges_it_as_completed_when_it_is_given_to_the_store(
    run: Run, tmp_path: Path
) -> None:
    ingest(run, order("a"))
    done = run("define", "--from-flow", "ord-a", "--output", "flows.yaml")
    assert (done.returncode, done.stdout) == (0, "")
    text = (tmp_path / "flows.yaml").read_text(encoding="utf-8")
    assert run("define", "--from-flow", "a-2").stdout == text, "whatever ID leads to the flow"
    assert "  OrderPlaced:\n    start: OrderPlaced\n" in text
    assert run("rebuild", "--definitions", "flows.yaml").returncode == 0
    (flow,) = map(json.loads, run("flows", "--json").stdout.splitlines())
    assert (flow["status"], flow["type"]) == ("completed", "OrderPlaced")
    ingest(run, order("b", *WAY[:3]))
    flows = [json.loads(line)["status"] for line in run("flows", "--json").stdout.splitlines()]
    assert sorted(flows) == ["completed", "in_progress"], "the last event was taken for the end"


def test_a_file_that_is_there_is_kept_unless_force_says_otherwise(run: Run, tmp_path: Path) -> None:
    ingest(run, order("a"))
    file = tmp_path / "flows.yaml"
    file.write_text("mine", encoding="utf-8")
    done = run("define", "--from-flow", "a", "-o", "flows.yaml")
    assert (done.returncode, done.stderr) == (
        2,
        "error: flows.yaml is there already\nhelp: --force overwrites it\n",
    )
    assert file.read_text(encoding="utf-8") == "mine"
    assert run("define", "--from-flow", "a", "-o", "flows.yaml", "--force").returncode == 0
    assert file.read_text(encoding="utf-8").startswith("# OrderPlaced, as one flow of it went: a (")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ([], 2, "error: nothing says what to write a definition from"),
        (["--from-flow", "nobody"], 3, "error: nothing is known under 'nobody'"),
        (["--from-flow", "ord-1"], 2, "  clew define --from-flow b   as order_id"),
        (["--from-flow", "single"], 2, "error: single has no event but its start, OrderPlaced"),
    ],
)
def test_an_id_that_gives_no_definition_is_told_with_a_way_on(
    run: Run, arguments: list[str], status: int, told: str
) -> None:
    ingest(
        run,
        [*order("a", order_id="ord-1"), *order("b", order_id="ord-1"), *order("single", "OrderPlaced")],
    )
    done = run("define", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert told in done.stderr
    assert "\nhelp: " in done.stderr


def test_what_a_terminal_would_obey_stands_escaped_in_the_text(run: Run) -> None:
    ingest(run, order("a", "Placed\u202e", "Paid\x1b]0;x", "Done"))
    text = run("define", "--from-flow", "a").stdout
    assert text.replace("\n", "").isprintable()
    assert r'start: "Placed\u202E"' in text


def test_the_schema_is_printed_as_it_is(run: Run, tmp_path: Path) -> None:
    assert run("define", "schema").stdout == SCHEMA.read_text(encoding="utf-8")
    assert run("define", "schema", "-o", "flows.schema.json").returncode == 0
    assert json.loads((tmp_path / "flows.schema.json").read_text(encoding="utf-8"))["title"]


@pytest.fixture
def checked(run: Run, tmp_path: Path) -> Run:
    """A folder with ``flows.yaml`` and a store: two orders as it says, one that was never packed, one told in a wrong order."""
    (tmp_path / "flows.yaml").write_text(FLOWS, encoding="utf-8")
    ingest(
        run,
        [
            *order("a"),
            *order("b", begin=10),
            *order("c", "OrderPlaced", "PaymentTaken", "OrderShipped", begin=20),
            *order("d", "OrderPlaced", "OrderPacked", "PaymentTaken", "OrderShipped", begin=30, causation_id=None),
            *order("e", begin=600),
        ],
    )  # fmt: skip
    return run


def test_check_tells_how_many_flows_fit_and_what_the_others_do(checked: Run) -> None:
    done = checked("define", "check", "flows.yaml", "--exit-code", COLUMNS="80")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "order: 60.0% fit, 3 of 5 flows",
        "FLOWS  SHARE  KIND     WHAT THEY DO                           EXAMPLE",
        "    1  20.0%  missing  OrderPacked is missing                 c",
        "    1  20.0%  order    OrderPacked comes before PaymentTaken  d",
        "",
        "as of 2026-01-31 12:10:15.000Z",
    ]
    ignored = ("--ignore", "missing", "--ignore", "order")
    assert checked("define", "check", "flows.yaml", "--exit-code", *ignored).returncode == 0


def test_check_changes_nothing_and_asks_the_stores_definitions_without_a_file(checked: Run) -> None:
    before = checked("flows", "--json").stdout
    told = json.loads(checked("define", "check", "flows.yaml", "--json").stdout)
    assert (told["schema"], told["type"], told["flows"], told["fits"], told["fitness"]) == (
        1,
        "order",
        5,
        3,
        0.6,
    )
    assert [one["kind"] for one in told["deviations"]] == ["missing", "order"]
    assert checked("flows", "--json").stdout == before
    none = checked("define", "check")
    assert (none.returncode, none.stdout) == (3, "")
    assert "error: the store has no flow definitions\nhelp: " in none.stderr
    assert checked("rebuild", "--definitions", "flows.yaml").returncode == 0
    assert json.loads(checked("define", "check", "--json").stdout) == told


def test_check_is_narrowed_as_other_reports_are(checked: Run) -> None:
    def flows(*options: str) -> tuple[int, int]:
        told = json.loads(checked("define", "check", "flows.yaml", "--json", *options).stdout)
        return told["flows"], told["fits"]

    assert flows("--since", "1m") == (1, 1)
    assert flows("--until", "2026-01-31T12:00:25Z") == (3, 2)
    assert flows("--as-of", "2026-01-31T12:00:32Z") == (4, 3)
    assert flows("--scope", "other") == (0, 0)
    done = checked("define", "check", "flows.yaml", "--type", "nothing")
    assert (done.returncode, done.stderr) == (
        3, "error: flows.yaml defines no flow type 'nothing'\nhelp: it defines order\n"
    )  # fmt: skip


def test_what_define_writes_fits_the_flow_that_it_came_from(checked: Run) -> None:
    assert checked("define", "--from-flow", "a", "-o", "first.yaml").returncode == 0
    told = json.loads(checked("define", "check", "first.yaml", "--json").stdout)
    assert (told["flows"], told["fits"]) == (5, 3)


@pytest.mark.parametrize(
    ("flows", "told"),
    [
        ("a: {start: A, steps: [B, {event: C, after: X}]}", "after X, which is none of its steps"),
        ("a: {start: A, steps: [B], compensations: {Undo: X}}", "X is to be undone and is none of its steps"),
        ("a: {start: A, steps: [{event: B, after: C}, {event: C, after: B}]}", "B waits for C, which waits for B"),
        ("a: {start: A, steps: [{any: 0, of: [B, C]}]}", "any asks for 0 of 2"),
        ("a: {start: A, steps: [all: []]}", "all is empty"),
        ("a: {start: A, steps: [{event: B, limit: -5m}]}", "limit '-5m' is not above zero"),
        ("a: {start: A, steps: [B]}\n  a: {start: B, steps: [C]}", "a is there twice"),
        ("a: {start: A, steps: [B]}\n  b: {start: A, steps: [C]}", "b and a both start with A"),
        ("a: &a {start: [A, A1]}\n  b: *a", "aliases are not allowed here"),
        ("a: " + "[" * 5_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_each_kind_of_bad_definition_is_told_with_its_line_marked(
    run: Run, tmp_path: Path, flows: str, told: str
) -> None:
    (tmp_path / "flows.yaml").write_text(f"flows:\n  {flows}\n", encoding="utf-8")
    done = run("define", "check", "flows.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    what, where, line, mark, help_ = done.stderr.splitlines()[:5]
    assert what.startswith("error: ")
    assert told in what
    assert re.fullmatch(r"  --> flows\.yaml:[123]:\d+", where)
    assert line.split(" | ")[1][mark.index("^") - len("      | ") + 1 :]
    assert help_.startswith("help: ")


def test_a_file_of_ten_megabytes_is_refused_unread(run: Run, tmp_path: Path) -> None:
    (tmp_path / "flows.yaml").write_text("flows:\n" + "# more\n" * 1_500_000, encoding="utf-8")
    done = run("define", "check", "flows.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: more than 1,000,000 bytes is not a definitions file\n  --> flows.yaml\n"
    )


def test_a_file_without_a_mistake_is_told_so_where_there_is_no_store(run: Run, tmp_path: Path) -> None:
    (tmp_path / "flows.yaml").write_text(FLOWS, encoding="utf-8")
    done = run("define", "check", "flows.yaml")
    assert done.returncode == 4
    assert done.stderr.startswith(
        "flows.yaml is without a mistake, and there is nothing to compare it with\nerror: "
    )


def test_what_was_learned_is_written_as_a_definition_that_fits(run: Run, tmp_path: Path) -> None:
    assert run("define", "--learned", "OrderPlaced").returncode == 4, "there is no store"
    ingest(run, (line for number in range(40) for line in order(f"o{number}", begin=number)))
    none = run("define", "--learned", "OrderPlaced")
    assert (none.returncode, none.stderr) == (
        3, "error: nothing was learned yet\nhelp: clew learn learns from what is stored\n"
    )  # fmt: skip
    assert run("learn", "--support", "10").returncode == 0
    assert run("define", "--learned", "OrderPlaced", "-o", "flows.yaml").returncode == 0
    text = (tmp_path / "flows.yaml").read_text(encoding="utf-8")
    assert re.match(
        r"# learned from \d+ settled flows, of which 100.0% came to an end by these steps\n", text
    )
    assert "    start: OrderPlaced\n" in text
    told = json.loads(run("define", "check", "flows.yaml", "--json").stdout)
    assert (told["type"], told["flows"], told["fits"]) == ("OrderPlaced", 40, 40)
    assert json.loads(run("define", "check", "--json").stdout) == told, "flows are judged by it"
    other = run("define", "--learned", "Nothing")
    assert (other.returncode, other.stdout) == (3, "")
    assert "error: model 1 has no definition of 'Nothing'\nhelp: it has OrderPlaced\n" in other.stderr
    both = run("define", "--learned", "OrderPlaced", "--from-flow", "o1")
    assert both.stderr.startswith("error: --from-flow and --learned are asked for one at a time\n")
