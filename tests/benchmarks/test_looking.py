"""Cold commands, against the start of what they cannot do without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.inputs import Inputs, Store
from tests.benchmarks.measuring import CLEW, PYTHON, Run, alternate, ratio, run, seconds

pytestmark = pytest.mark.bench

ROUNDS = 13


def test_show_on_a_large_store(inputs: Inputs, figures: Figures) -> None:
    large, small = 5_000_000, 50_000
    stores = {"large": inputs.store(large), "small": inputs.store(small)}
    sides = {name: _show(inputs.folder, store) for name, store in stores.items()}
    runs = alternate(inputs.rounds(ROUNDS), sides | {"import": _python(inputs.folder, "import duckdb")})
    name = f"`clew show ID` on {inputs.named(large)} records"
    value, detail = ratio(seconds(runs["large"]), seconds(runs["import"]))
    figures.add(Figure(f'{name} / `python -c "import duckdb"`', value, 2.5, detail))
    value, detail = ratio(seconds(runs["large"]), seconds(runs["small"]))
    figures.add(Figure(f"{name} / on {inputs.named(small)}", value, 1.3, detail))


def test_stuck_over_many_flows(inputs: Inputs, figures: Figures) -> None:
    flows = 1_000_000
    store = inputs.store_of_flows(flows)
    first = run([CLEW, "stuck", "--store", str(store), "--json", "--limit", "5"], inputs.folder)
    assert first.output.count('"status":"stuck"') == 5

    def stuck(_: int) -> Run:
        return run([CLEW, "stuck", "--store", str(store)], inputs.folder)

    runs = alternate(
        inputs.rounds(ROUNDS), {"stuck": stuck, "import": _python(inputs.folder, "import duckdb")}
    )
    value, detail = ratio(seconds(runs["stuck"]), seconds(runs["import"]))
    name = f'`clew stuck` over {inputs.named(flows)} flows / `python -c "import duckdb"`'
    figures.add(Figure(name, value, 3, detail))


def test_groups_over_many_flows(inputs: Inputs, figures: Figures) -> None:
    flows = 1_000_000
    store = inputs.store_of_flows(flows)

    def grouped(_: int) -> Run:
        return run([CLEW, "stuck", "--by", "cause", "--store", str(store)], inputs.folder)

    assert "FIRST SEEN" in grouped(0).output
    runs = alternate(
        inputs.rounds(ROUNDS), {"grouped": grouped, "import": _python(inputs.folder, "import duckdb")}
    )
    value, detail = ratio(seconds(runs["grouped"]), seconds(runs["import"]))
    name = f'`clew stuck --by cause` over {inputs.named(flows)} flows / `python -c "import duckdb"`'
    figures.add(Figure(name, value, 3, detail))


def test_help(inputs: Inputs, figures: Figures) -> None:
    def help_(_: int) -> Run:
        return run([CLEW, "--help"], inputs.folder)

    runs = alternate(inputs.rounds(ROUNDS), {"help": help_, "import": _python(inputs.folder, "import click")})
    value, detail = ratio(seconds(runs["help"]), seconds(runs["import"]))
    figures.add(Figure('`clew --help` / `python -c "import click"`', value, 2, detail))


def _show(folder: Path, store: Store) -> Callable[[int], Run]:
    def show(number: int) -> Run:
        wanted = store.ids[number % len(store.ids)]
        done = run([CLEW, "show", wanted, "--store", str(store.path)], folder)
        assert "order-service" in done.output
        return done

    return show


def _python(folder: Path, code: str) -> Callable[[int], Run]:
    return lambda _: run([PYTHON, "-c", code], folder)
