"""``clew show`` draws each flow of fixtures/cli/show exactly as the file beside it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clew.cli.flow_view import Details, view
from clew.cli.look import Look, cells
from clew.reconstruct.detail import FlowDetail

Load = Callable[[str], FlowDetail]

Case = tuple[str, int, str, Details, str]
CASES: list[Case] = [
    ("order-stuck", 80, "utf-8", Details(), ""),
    ("order-stuck", 200, "utf-8", Details(), ""),
    ("order-stuck", 80, "ascii", Details(), ".ascii"),
    ("order-stuck", 100, "utf-8", Details(logs=True, evidence=True), ".logs.evidence"),
    ("fan-out", 80, "utf-8", Details(), ""),
    ("fan-out", 200, "utf-8", Details(), ""),
    ("three-days", 80, "utf-8", Details(), ""),
    ("three-days", 200, "utf-8", Details(), ""),
    ("hostile", 80, "utf-8", Details(), ""),
    ("hostile", 80, "ascii", Details(), ".ascii"),
    ("deep", 80, "utf-8", Details(), ""),
    ("bare", 80, "utf-8", Details(), ""),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}.{case[1]}{case[4]}")
def test_a_flow_is_drawn_as_its_golden_file_says(
    case: Case, detail: Load, golden: Callable[[str, str], None]
) -> None:
    name, width, encoding, details, suffix = case
    found = detail(name)
    lines = [line.plain for line in view(found, Look(width, encoding), details)]
    golden(f"show/{name}.{width}{suffix}", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", sorted({case[0] for case in CASES}))
@pytest.mark.parametrize(
    ("width", "encoding"),
    [
        *((width, "utf-8") for width in (40, 61, 79, 80, 99, 100, 139, 140, 400)),
        (40, "ascii"),
        (80, "latin-1"),
    ],
)
def test_no_line_is_wider_than_the_terminal(name: str, width: int, encoding: str, detail: Load) -> None:
    found = detail(name)
    drawn = view(found, Look(width, encoding), Details(logs=True, evidence=True))
    wide = [line.plain for line in drawn if cells(line.plain) > width]
    assert wide == []


@pytest.mark.parametrize("name", sorted({case[0] for case in CASES}))
def test_an_ascii_terminal_gets_ascii_alone(name: str, detail: Load) -> None:
    found = detail(name)
    drawn = view(found, Look(80, "ascii"), Details(logs=True, evidence=True, everything=True))
    assert [line.plain for line in drawn if not line.plain.isascii()] == []


def test_all_draws_every_step_of_a_large_fan_out(detail: Load) -> None:
    found = detail("fan-out")
    drawn = list(view(found, Look(80), Details(everything=True)))
    assert sum("PriceChanged" in line.plain for line in drawn) == 20_000
    assert not any("more" in line.plain for line in drawn)
