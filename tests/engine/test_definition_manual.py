"""docs/definitions.md cannot drift: its examples load and are the demo's, its tables name every entry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from tests.engine.cases import FIXTURES
from tests.engine.test_definition_schema import valid

from clew.cli.errors import message, render
from clew.cli.look import Look
from clew.reconstruct.definition_reader import FLOW, GROUPS, STEP
from clew.reconstruct.definitions import ENDS, Definition, load
from clew.reconstruct.errors import DefinitionError

ROOT = FIXTURES.parent
MANUAL = (ROOT / "docs" / "definitions.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", MANUAL, re.DOTALL | re.MULTILINE)
DEMO = ROOT / "cli" / "clew" / "cli" / "demo" / "definitions.yaml"


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_of_the_manual_loads_and_is_valid(example: str, tmp_path: Path) -> None:
    path = tmp_path / "flows.yaml"
    path.write_text(example, encoding="utf-8")
    assert len(load(path)) == 1
    assert valid(yaml.safe_load(example))


def test_each_workflow_of_the_demo_is_an_example_as_the_demo_has_it(tmp_path: Path) -> None:
    found: dict[str, Definition] = {}
    for number, example in enumerate(EXAMPLES):
        path = tmp_path / f"{number}.yaml"
        path.write_text(example, encoding="utf-8")
        (definition,) = load(path)
        found.setdefault(definition.name, definition)
    for definition in load(DEMO):
        assert found[definition.name] == definition


def test_the_manual_is_reached_from_the_readme_whose_own_example_loads(tmp_path: Path) -> None:
    assert "](docs/definitions.md)" in README
    path = tmp_path / "flows.yaml"
    (example,) = re.findall(r"^```yaml\n(flows:.*?)^```$", README, re.DOTALL | re.MULTILINE)
    path.write_text(example, encoding="utf-8")
    assert [definition.name for definition in load(path)] == ["order-fulfilment"]


@pytest.mark.parametrize(
    ("begin", "entries"), [("Of a flow type:", FLOW), ("Of a step,", STEP), ("Of a group:", set(GROUPS))]
)
def test_the_tables_name_every_entry(begin: str, entries: set[str]) -> None:
    table = MANUAL.split(f"\n{begin}")[1].split("\n\n")[1]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == entries
    assert set(ENDS) <= set(re.findall(r"`(\w+)`", MANUAL.split("\n| `ends` |")[1].split("\n")[0]))


def test_the_mistake_that_is_shown_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = re.search(r"^```text\n(error: .*?)^```$", MANUAL, re.DOTALL | re.MULTILINE)
    assert shown
    Path("flows.yaml").write_text(
        "flows:\n  order-fulfilment:\n    start: OrderPlaced\n    steps:\n"
        "      - PaymentSucceeded\n      - {event: InventoryReserved, after: PaymentSucceded}\n",
        encoding="utf-8",
    )
    with pytest.raises(DefinitionError) as found:
        load(Path("flows.yaml"))
    lines = render(message(found.value), Look(100, "utf-8"))
    assert "".join(f"{line.plain}\n" for line in lines) == shown[1]
