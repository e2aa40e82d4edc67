"""Whole commands over a real store: what they print, and the status they end with."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., "CompletedProcess[str]"]
Golden = Callable[[str, str], None]

SHOP = Path(__file__).resolve().parents[2] / "fixtures" / "cli" / "shop"
TIMING = re.compile(r"in \d+\.\d s, [\d,]+/s")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, run_in: Callable[[Path], Run]) -> Path:
    """A folder whose store holds the shop, read from stdin."""
    folder = tmp_path_factory.mktemp("shop")
    lines = (SHOP / "app.jsonl").read_text(encoding="utf-8")
    done = run_in(folder)("ingest", "-", "--definitions", SHOP / "definitions.yaml", stdin=lines)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.parametrize(
    "case",
    [
        ("flows.80", ["flows"], "80", 0),
        ("flows.200", ["flows", "--sort", "started", "--reverse"], "200", 0),
        ("flows-limit", ["flows", "--limit", "2"], "80", 0),
        ("flows-key", ["flows", "--key", "customer_id=c-1"], "80", 0),
        ("flows-since", ["flows", "--since", "20s"], "80", 0),
        ("flows-as-of", ["flows", "--as-of", "2026-01-31T12:01:00Z"], "80", 0),
        ("flows-none", ["flows", "--service", "nobody"], "80", 0),
        ("stuck", ["stuck", "--exit-code"], "80", 1),
        ("failed", ["failed"], "80", 0),
        ("dead", ["dead", "--exit-code"], "80", 0),
        ("show-completed.80", ["show", "shop-1-a7"], "80", 0),
        ("show-completed.200.logs.evidence", ["show", "e-1-2", "--logs", "--evidence"], "200", 0),
        ("show-failed", ["show", "4712"], "80", 0),
        ("show-stuck", ["show", "shop-3"], "80", 0),
        ("show-hostile", ["show", "4715"], "80", 0),
        ("stuck-by-step", ["stuck", "--by", "step"], "80", 0),
        ("flows-by-cause.200", ["flows", "--by", "cause"], "200", 0),
        ("failed-by-service", ["failed", "--by", "service", "--exit-code"], "80", 1),
        ("dead-by-type", ["dead", "--by", "type", "--exit-code"], "80", 0),
        ("why-stuck.80", ["why", "shop-3"], "80", 0),
        ("why-stuck.200", ["why", "4713"], "200", 0),
        ("why-failed", ["why", "shop-2-b3"], "80", 0),
        ("why-completed", ["why", "shop-1-a7"], "80", 0),
        ("why-in-progress", ["why", "shop-4"], "80", 0),
        ("why-hostile", ["why", "4715"], "80", 0),
        ("why-as-of", ["why", "shop-1-a7", "--as-of", "2026-01-31T12:00:05Z"], "80", 0),
        ("sources", ["sources"], "80", 0),
        ("rejects", ["sources", "--rejects"], "80", 0),
        ("keys", ["keys"], "100", 0),
    ],
    ids=lambda case: case[0],
)
def test_a_command_prints_what_its_golden_file_says(
    case: tuple[str, list[str], str, int], shop: Path, run_in: Callable[[Path], Run], golden: Golden
) -> None:
    name, arguments, width, status = case
    done = run_in(shop)(*arguments, COLUMNS=width)
    assert (done.returncode, done.stderr) == (status, "")
    golden(f"shop/{name}", done.stdout)


def test_ingest_reports_what_it_read_and_what_to_try(run: Run, tmp_path: Path, golden: Golden) -> None:
    shutil.copy(SHOP / "app.jsonl", tmp_path)
    done = run("ingest", "app.jsonl", "--definitions", SHOP / "definitions.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    golden("shop/ingest", TIMING.sub("in S s, N/s", done.stdout))
    again = run("ingest", "app.jsonl")
    assert again.stdout.startswith("0 records read from 0 sources")


def test_ingest_json_is_one_documented_object(run: Run) -> None:
    lines = (SHOP / "app.jsonl").read_text(encoding="utf-8")
    done = run("ingest", "-", "--json", stdin=lines + lines)
    told = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert (told["schema"], told["records"], told["new"], told["duplicates"], told["rejects"]) == (
        1,
        32,
        32,
        0,
        2,
    )
    assert told["by_kind"] == {"log": 32}
    assert told["flows"] == 6
    assert told["seconds"] > 0


def test_flows_json_gives_one_object_for_each_flow(shop: Path, run_in: Callable[[Path], Run]) -> None:
    done = run_in(shop)("flows", "--json")
    told = {flow["flow_id"]: flow for flow in map(json.loads, done.stdout.splitlines())}
    assert len(told) == 6
    stuck = told["shop-3-c9"]
    assert stuck["status"] == "stuck"
    assert stuck["owed"]["name"] == "OrderShipped"
    assert stuck["owed"]["deadline"] == stuck["deadline"] == "2026-01-31T12:02:20.000000Z"
    assert stuck["keys"] == {"customer_id": ["c-3"], "order_id": ["4713"]}
    assert told["shop-5-\x1b[2Jx"]["status"] == "completed"
    assert "\x1b" not in done.stdout


def test_show_json_holds_every_step_record_and_log(shop: Path, run_in: Callable[[Path], Run]) -> None:
    told = json.loads(run_in(shop)("show", "shop-1-a7", "--json").stdout)
    assert [step["name"] for step in told["steps"]] == ["OrderPlaced", "PaymentCharged", "OrderShipped"]
    records = [
        *(seen for step in told["steps"] for seen in (*step["observations"], *step["logs"])),
        *told["loose"],
    ]
    assert len(records) == told["records"] == 4
    assert {seen["record"]["body"] for seen in records} >= {"fraud score 0.1", "card charged"}
    assert told["links"] == [{"flow_id": "shop-6-f1", "kind": "joins", "via": "customer_id=c-1"}]


@pytest.mark.parametrize("command", ["show", "why"])
def test_one_flow_says_the_time_that_it_was_judged_by(
    command: str, shop: Path, run_in: Callable[[Path], Run]
) -> None:
    newest = json.loads(run_in(shop)("rebuild", "--json").stdout)["as_of"]
    assert json.loads(run_in(shop)(command, "shop-3", "--json").stdout)["as_of"] == newest
    earlier = json.loads(run_in(shop)(command, "shop-3", "--json", "--as-of", "2026-01-31T12:01:30Z").stdout)
    assert (earlier["as_of"], earlier["status"]) == ("2026-01-31T12:01:30.000000Z", "in_progress")


def test_an_id_of_several_flows_lists_them_and_how_to_choose(
    shop: Path, run_in: Callable[[Path], Run], golden: Golden
) -> None:
    done = run_in(shop)("show", "c-1", COLUMNS="80")
    assert (done.returncode, done.stdout) == (2, "")
    golden("shop/show-several", done.stderr)
    done = run_in(shop)("why", "c-1", COLUMNS="80")
    assert (done.returncode, done.stdout) == (2, "")
    golden("shop/why-several", done.stderr)


def test_why_json_is_one_documented_object(shop: Path, run_in: Callable[[Path], Run]) -> None:
    done = run_in(shop)("why", "shop-3", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert (told["schema"], told["cause"], told["refined_cause"]) == (1, "never_published", "never_published")
    assert told["sentence"].startswith("order shop-3-c9 waits for OrderShipped since ")
    (cause,) = told["causes"]
    assert list(cause) == ["cause", "explains", "inferred", "likelihood", "said", "clues", "next"]
    assert cause["clues"][0] == {
        "said": "the last step: PaymentCharged by payment",
        "time": "2026-01-31T12:00:20.500000Z",
        "service": "payment",
        "source": "stdin",
        "position": 9,
    }
    assert cause["next"][0]["command"] == ["clew", "show", "shop-3-c9", "--logs"]
    assert json.loads(run_in(shop)("show", "shop-3", "--json").stdout)["refined_cause"] == "never_published"


def test_groups_json_is_one_documented_object_for_each(shop: Path, run_in: Callable[[Path], Run]) -> None:
    (told,) = map(json.loads, run_in(shop)("stuck", "--by", "step", "--json").stdout.splitlines())
    assert told == {
        "schema": 1,
        "by": "step",
        "value": "OrderShipped",
        "flows": 1,
        "causes": {"never_published": 1},
        "oldest": "2026-01-31T12:00:20.000000Z",
        "newest": "2026-01-31T12:00:20.000000Z",
        "first": "2026-01-31T12:00:20.500000Z",
        "example": "shop-3-c9",
        "scope": "",
        "changes": [],
    }


@pytest.mark.parametrize("command", ["show", "why"])
@pytest.mark.parametrize("wanted", ["nix", "shop-9", "\x1b[2J"])
def test_an_id_of_nothing_ends_with_3_and_hints(
    command: str, wanted: str, shop: Path, run_in: Callable[[Path], Run]
) -> None:
    done = run_in(shop)(command, wanted)
    assert (done.returncode, done.stdout) == (3, "")
    assert "nothing is known under" in done.stderr
    assert "clew flows" in done.stderr
    assert "\x1b" not in done.stderr


def test_an_id_that_a_table_cut_is_found(shop: Path, run_in: Callable[[Path], Run]) -> None:
    assert run_in(shop)("show", "shop-2…").stdout.startswith("shop-2-b3")


def test_fail_on_looks_beyond_the_limit_and_only_at_what_matches(
    shop: Path, run_in: Callable[[Path], Run]
) -> None:
    clew = run_in(shop)
    assert clew("flows", "--limit", "1", "--fail-on", "failed").returncode == 1
    assert clew("flows", "--type", "order", "--fail-on", "dead_lettered").returncode == 0
    assert clew("flows", "--service", "shipping", "--fail-on", "failed").returncode == 0


def test_colour_comes_only_where_it_is_wanted(shop: Path, run_in: Callable[[Path], Run]) -> None:
    clew = run_in(shop)
    assert "\x1b[" not in clew("flows", TERM="xterm").stdout
    coloured = clew("flows", "--color", "always", TERM="xterm", NO_COLOR="1").stdout
    assert "\x1b[" in coloured
    plain = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    strip = [line.rstrip() for line in plain.splitlines()]
    assert strip == clew("flows").stdout.splitlines()


def test_an_ascii_stream_gets_ascii_alone(process: Run) -> None:
    lines = (SHOP / "app.jsonl").read_text(encoding="utf-8")
    for command in (["ingest", "-"], ["flows"], ["show", "4715"], ["keys"], ["flows", "--json"]):
        done = process(*command, stdin=lines, PYTHONIOENCODING="ascii")
        assert done.returncode == 0
        assert done.stdout.isascii()


def test_max_rejects_ends_with_5_and_says_how_many(run: Run) -> None:
    lines = (SHOP / "app.jsonl").read_text(encoding="utf-8")
    assert run("ingest", "-", "--max-rejects", "1", stdin=lines).returncode == 0
    done = run("ingest", "-", "--max-rejects", "1%", stdin=lines, CLEW_STORE="other.duckdb")
    assert done.returncode == 5
    assert "1 of 17 were rejected" in done.stderr
    assert done.stdout != ""


def test_a_source_that_cannot_be_read_is_a_warning_while_another_can(run: Run, tmp_path: Path) -> None:
    shutil.copy(SHOP / "app.jsonl", tmp_path)
    done = run("ingest", "app.jsonl", "absent.jsonl")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: ")
    assert "absent.jsonl" in done.stderr
    assert done.stdout.startswith("16 records")
    assert run("ingest", "app.jsonl", "absent.jsonl", "--strict").returncode == 4
    assert run("ingest", "absent.jsonl", CLEW_STORE="other.duckdb").returncode == 4


def test_redacted_values_are_in_no_file_of_the_store(run: Run, tmp_path: Path) -> None:
    card = "4000-1234-5678-9010"
    line = json.dumps(
        {
            "time": "2026-01-31T12:00:00Z",
            "message": f"card {card}",
            "correlation_id": "c",
            "pin": "hush-hush",
        }
    )
    done = run(
        "ingest", "-", "--redact-key", "pin", "--redact-pattern", r"\d{4}(-\d{4}){3}", stdin=line + "\n"
    )
    assert done.returncode == 0
    shown = run("show", "c", "--json").stdout
    assert json.loads(shown)["records"] == 1
    assert card not in shown
    assert "hush-hush" not in shown
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert card.encode() not in stored
    assert b"hush-hush" not in stored


def test_a_key_class_is_kept_and_applies_to_what_is_stored(run: Run) -> None:
    lines = (SHOP / "app.jsonl").read_text(encoding="utf-8")
    run("ingest", "-", stdin=lines)
    assert json.loads(run("show", "shop-1-a7", "--json").stdout)["links"] != []
    done = run("rebuild", "--key", "customer_id=group")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(run("show", "shop-1-a7", "--json").stdout)["links"] == []
    classes = {one["name"]: one for one in map(json.loads, run("keys", "--json").stdout.splitlines())}
    assert (classes["customer_id"]["class"], classes["customer_id"]["configured"]) == ("group", True)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--key", "tenant=gruop"], "'gruop' is no class of tenant"),
        (["--key", "tenant"], "'tenant' is no name=value"),
        (["--max-rejects", "many"], "'many' is no threshold"),
        (["--max-rejects", "101%"], "'101%' is no threshold"),
        (["--owed-limit", "soon"], "'soon' is no duration"),
        (["--definitions", "absent.yaml"], "cannot read definitions"),
        (["--format", "absent"], "no format 'absent'"),
    ],
)
def test_wrong_use_of_ingest_is_told_before_anything_is_read(
    run: Run, tmp_path: Path, option: list[str], said: str
) -> None:
    done = run("ingest", "-", *option, stdin="{}\n", COLUMNS="400")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert option[0] == "--format" or list(tmp_path.iterdir()) == []


def test_formats_are_listed_and_a_line_shows_what_it_becomes(run: Run) -> None:
    listed = run("formats")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.splitlines()[0].split() == ["FORMAT", "TITLE", "SHAPE", "RECOGNISED", "BY"]
    names = [json.loads(line)["format"] for line in run("formats", "--json").stdout.splitlines()]
    assert {"json", "otlp"} <= set(names)


def test_formats_test_shows_records_and_rejects_and_stores_nothing(
    run: Run, tmp_path: Path, golden: Golden
) -> None:
    shutil.copy(SHOP / "app.jsonl", tmp_path)
    done = run("formats", "test", "app.jsonl", "-n", "1")
    assert (done.returncode, done.stderr) == (0, "")
    golden("shop/formats-test", done.stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["app.jsonl"]


def test_formats_test_of_nothing_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    assert run("formats", "test", "empty.log").returncode == 2
    assert run("formats", "test", "absent.log").returncode == 4
