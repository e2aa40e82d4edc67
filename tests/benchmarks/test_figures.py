"""Figures are written where readers look, and nothing else there changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.benchmarks.figures import TIMES, Figure, Figures, NotRun, write_into


@pytest.mark.parametrize(
    ("value", "at_least", "met"),
    [(1.25, False, True), (1.26, False, False), (1.25, True, True), (1.2, True, False)],
)
def test_a_budget_is_met_up_to_its_own_value(value: float, at_least: bool, met: bool) -> None:  # noqa: FBT001
    assert Figure("ingest", value, 1.25, "", at_least=at_least).met is met


def test_the_table_replaces_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures()
    figures.add(Figure("show", 2.0, 2.5, "200 ms / 100 ms"))
    figures.add(NotRun("spans", "java is not installed"))
    readme = tmp_path / "README.md"
    readme.write_text("one\n<!-- figures -->\nold\n<!-- end of figures -->\ntwo\n")
    write_into(readme, figures.table())
    write_into(readme, figures.table())
    text = readme.read_text()
    assert text.startswith("one\n<!-- figures -->\n| what |")
    assert text.endswith("\n<!-- end of figures -->\ntwo\n")
    assert text.count(f"| show | 2.00 {TIMES} | ≤ 2.5 {TIMES} | met | 200 ms / 100 ms |") == 1
    assert "| spans | | | not run | java is not installed |" in text
    assert "old" not in text
    assert f"show: 2.00 {TIMES} (200 ms / 100 ms) · budget ≤ 2.5 {TIMES}: met" in capsys.readouterr().out


def test_a_readme_without_marks_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing to fill\n")
    with pytest.raises(ValueError, match="has no <!-- figures -->"):
        write_into(readme, "table")
    assert readme.read_text() == "nothing to fill\n"


def test_no_figures_make_no_table() -> None:
    assert Figures().table() == ""
