"""Groups of flows fit the terminal, and tell what changed before each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from clew.cli.group_table import group_table
from clew.cli.look import Look, cells
from clew.reconstruct.answers import Change, FlowGroup

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


GROUPS = [
    FlowGroup(
        value="InventoryReserved",
        flows=1_204,
        causes={"never_published": 1_200, "never_consumed": 4},
        oldest=ago(95),
        newest=ago(6),
        first=ago(94),
        example="6441840f-3d79-4c3d-a834-1ec71e110d62",
        scope="live",
        changes=(
            Change("schema_version", "PaymentSucceeded", "3", ago(96)),
            Change("error_type", "inventory-service", "stock.StockUnavailable", ago(95)),
            Change("service", "stock-cache", "stock-cache", ago(94)),
        ),
    ),
    FlowGroup("handling of \x1b[2Jx", 7, {"never_consumed": 7}, ago(50), ago(49), ago(50), "b" * 90, "", ()),
    FlowGroup(None, 1, {}, None, None, None, "c", "", ()),
]


@pytest.mark.parametrize(("width", "encoding"), [(80, "utf-8"), (80, "ascii"), (200, "utf-8")])
def test_groups_are_listed_as_the_golden_file_says(
    width: int, encoding: str, golden: Callable[[str, str], None]
) -> None:
    lines = [line.plain for line in group_table(GROUPS, "step", NOW, Look(width, encoding))]
    suffix = "" if encoding == "utf-8" else f".{encoding}"
    golden(f"flows/groups.{width}{suffix}", "\n".join(lines) + "\n")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [*range(40, 130, 7), 200])
def test_no_line_of_the_groups_is_wider_than_the_terminal(width: int, encoding: str) -> None:
    drawn = group_table(GROUPS, "step", NOW, Look(width, encoding))
    assert [line.plain for line in drawn if cells(line.plain) > width] == []


def test_no_groups_are_no_lines() -> None:
    assert list(group_table([], "cause", NOW, Look(80))) == []
