"""What a run of the benchmarks found, and where it is written."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TIMES: Final = "×"  # noqa: RUF001 - the sign is meant
_BEGIN: Final = "<!-- figures -->"
_END: Final = "<!-- end of figures -->"


@dataclass(frozen=True)
class Figure:
    """One figure beside its budget."""

    name: str
    value: float
    budget: float
    detail: str
    unit: str = TIMES
    at_least: bool = False
    """Whether more is better, and the budget the least that will do."""

    @property
    def met(self) -> bool:
        """Whether the budget holds."""
        return self.value >= self.budget if self.at_least else self.value <= self.budget

    @property
    def bound(self) -> str:
        """The budget as people read it."""
        return f"{'≥' if self.at_least else '≤'} {self.budget:g} {self.unit}"

    @property
    def line(self) -> str:
        """The whole figure in one line."""
        verdict = "met" if self.met else "missed"
        return f"{self.name}: {self.value:.2f} {self.unit} ({self.detail}) · budget {self.bound}: {verdict}"


@dataclass(frozen=True)
class NotRun:
    """A benchmark that could not run here."""

    name: str
    reason: str

    @property
    def line(self) -> str:
        """Why, in one line."""
        return f"{self.name}: not run: {self.reason}"


class Figures:
    """All figures of a run, each printed as it comes."""

    def __init__(self) -> None:
        self._found: list[Figure | NotRun] = []

    def add(self, figure: Figure | NotRun) -> None:
        """Print a figure and keep it for the table."""
        self._found.append(figure)
        print(f"\n{figure.line}", flush=True)  # noqa: T201 - a benchmark's result is what it prints

    def table(self) -> str:
        """Give all figures as a Markdown table with the machine below; empty without any."""
        if not self._found:
            return ""
        rows = [_row(figure) for figure in self._found]
        head = ["| what | figure | budget | | made of |", "|---|---|---|---|---|"]
        return "\n".join([*head, *rows, "", _machine()])


def write_into(readme: Path, table: str) -> None:
    """Put a table between the marks of a README.

    Raises:
        ValueError: the README lacks the marks.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{readme} has no {_BEGIN} … {_END}")
    readme.write_text(f"{before}{_BEGIN}\n{table}\n{_END}{after}", encoding="utf-8")


def _row(figure: Figure | NotRun) -> str:
    if isinstance(figure, NotRun):
        return f"| {figure.name} | | | not run | {figure.reason} |"
    verdict = "met" if figure.met else "**missed**"
    return (
        f"| {figure.name} | {figure.value:.2f} {figure.unit} | {figure.bound} | {verdict} | {figure.detail} |"
    )


def _machine() -> str:
    import duckdb

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured in one run on {os.cpu_count()} cores with {memory:.0f} GiB, "
        f"Python {platform.python_version()}, DuckDB {duckdb.__version__}: "
        "whole processes, in turns, medians."
    )
