"""Whole processes, measured: wall time from start to end and peak resident memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple, TypeVar

PYTHON: Final = sys.executable
CLEW: Final = str(Path(sys.executable).with_name("clew"))

Measured = TypeVar("Measured")


class Run(NamedTuple):
    """One process from start to end."""

    seconds: float
    peak_bytes: int
    """Of the process itself; what it starts is not counted."""
    output: str


def run(command: list[str], folder: Path) -> Run:
    """Run a command to its end in ``folder`` without the caller's ``CLEW_`` settings.

    Raises:
        AssertionError: it ended with another status than 0; says what it wrote to stderr.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CLEW_")}
    with (folder / "stdout").open("w+b") as out, (folder / "stderr").open("w+b") as err:
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=kept, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        said = err.read().decode(errors="replace")[-2000:]
        assert process.returncode == 0, f"{' '.join(command)} ended with {process.returncode}: {said}"
        return Run(seconds, usage.ru_maxrss * 1024, out.read().decode())


def alternate(rounds: int, sides: Mapping[str, Callable[[int], Measured]]) -> dict[str, list[Measured]]:
    """Call every side in turn, ``rounds`` times over; each is told the round's number.

    What another program does to the machine meanwhile then falls on all sides alike. What
    was written is on the disk before a side begins, so that none pays for another's.
    """
    measured: dict[str, list[Measured]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, side in sides.items():
            os.sync()
            measured[name].append(side(number))
    return measured


def seconds(runs: list[Run]) -> list[float]:
    """Give each run's wall time."""
    return [each.seconds for each in runs]


def ratio(ours: list[float], theirs: list[float]) -> tuple[float, str]:
    """Give the ratio of the medians, and words for what it was made of."""
    pairs = [one / other for one, other in zip(ours, theirs, strict=True)]
    spread = f"{len(pairs)} pairs, {min(pairs):.2f} to {max(pairs):.2f}" if len(pairs) > 1 else "one pair"
    return median(ours) / median(theirs), f"{duration(median(ours))} / {duration(median(theirs))}; {spread}"


def duration(value: float) -> str:
    """Give seconds as people write them."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"
