"""``clew flows`` fits the terminal: the whole table is compared at each width."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from clew.cli.flow_table import flow_table, matched, standing, why
from clew.cli.look import Look, cells
from clew.reconstruct.model import Flow, SourceBehind, Status, Summary

Flows = tuple[list[Flow], Summary]


def lines(found: Flows, look: Look) -> list[str]:
    flows, summary = found
    drawn = [
        *flow_table(flows, look),
        *matched(summary, len(flows), look, more=False),
        *standing(summary, look),
    ]
    return [line.plain for line in drawn]


@pytest.mark.parametrize(
    ("width", "encoding"), [(80, "utf-8"), (80, "ascii"), (120, "utf-8"), (200, "utf-8")]
)
def test_flows_of_every_status_are_listed_as_the_golden_file_says(
    width: int, encoding: str, flows: Flows, golden: Callable[[str, str], None]
) -> None:
    suffix = "" if encoding == "utf-8" else f".{encoding}"
    golden(f"flows/flows.{width}{suffix}", "\n".join(lines(flows, Look(width, encoding))) + "\n")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [*range(40, 130, 7), 200, 300])
def test_no_line_of_the_table_is_wider_than_the_terminal(width: int, encoding: str, flows: Flows) -> None:
    assert [line for line in lines(flows, Look(width, encoding)) if cells(line) > width] == []


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_status_and_flow_are_the_last_columns_to_leave(width: int, flows: Flows) -> None:
    heading = lines(flows, Look(width))[0].split()
    assert heading[:2] == ["STATUS", "FLOW"]


def test_an_empty_store_says_how_to_begin() -> None:
    nothing = Summary(None, "nothing", 0, {}, 0, 0, 0, 0, 0)
    assert lines(([], nothing), Look(80)) == ["no flows yet; clew ingest reads files into the store"]


def test_no_match_still_says_how_the_store_stands(flows: Flows) -> None:
    shown = lines(([], flows[1]), Look(200))
    assert shown[0] == "no flow matches"
    assert shown[1].startswith("12,345 flows in all: ")


def test_what_is_owed_longest_does_not_read_as_what_the_cause_is_about(flows: Flows) -> None:
    stuck = next(flow for flow in flows[0] if flow.status is Status.STUCK and flow.owed is not None)
    assert stuck.owed is not None
    owed = replace(stuck.owed, kind="step", name="Shipped", service="depot")
    assert why(replace(stuck, cause="never_published", owed=owed)) == "never_published: Shipped by depot"
    assert why(replace(stuck, cause="never_consumed", owed=owed)) == "never_consumed: lacks Shipped by depot"


BEHIND = tuple(
    SourceBehind(name, "", datetime(2026, 1, 31, 11, 40 + minute, tzinfo=UTC), flows, silent)
    for name, minute, flows, silent in (
        ("payments.jsonl", 15, 1200, False),
        ("legacy.log", 0, 3, True),
        ("shop.log", 16, 1, False),
        ("mail.log", 17, 0, True),
        ("depot.log", 18, 1, False),
    )
)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_what_was_not_read_so_far_is_told_with_what_it_holds_back_as_the_golden_file_says(
    width: int, flows: Flows, golden: Callable[[str, str], None]
) -> None:
    several = replace(flows[1], behind=BEHIND)
    alone = replace(flows[1], behind=BEHIND[3:4])
    drawn = [line for summary in (several, alone) for line in standing(summary, Look(width))]
    assert [line for line in drawn if cells(line.plain) > width] == []
    golden(f"flows/held-back.{width}", "\n".join(line.plain for line in drawn) + "\n")


@pytest.fixture
def flows(flow_of: Callable[[dict[str, Any]], Flow]) -> Flows:
    """The flows and the summary of fixtures/cli/flows."""
    path = Path(__file__).resolve().parents[2] / "fixtures" / "cli" / "flows" / "flows.yaml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = [flow_of(told) for told in tree["flows"]]
    told = tree["summary"]
    return found, Summary(**{**told, "as_of": flow_of({**tree["flows"][1], "last": told["as_of"]}).last})
