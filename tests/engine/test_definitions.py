"""Flow definitions are read, kept and read back; each mistake in one is told with its place and a way on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.engine.cases import FIXTURES

from clew.reconstruct.definitions import Definition, OwedStep, duration_us, from_json, load, to_json
from clew.reconstruct.errors import DefinitionError

BROKEN = sorted((FIXTURES / "definitions" / "broken").glob("*.yaml"))

WHOLE = """
flows:
  order-fulfilment:
    start: OrderPlaced
    steps:
      - PaymentSucceeded
      - {event: InventoryReserved, service: inventory-service, limit: 2m}
      - event: "4711"
    ends:
      completed: [OrderCompleted, OrderArchived]
      failed: OrderRejected
    limit: 1h30m
    reuse: true
    keys: [order_id]
  visit: {start: [Came, Returned]}
"""


def told(error: DefinitionError, path: Path) -> str:
    """An error as the expectations show it."""
    assert error.file == str(path)
    return (
        f"{error}\n  at {error.line}:{error.column}: {error.text.strip().encode('unicode_escape').decode()}\n"
        f"  help: {error.help}\n"
    )


def test_a_definition_says_how_a_flow_starts_what_it_owes_and_how_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "flows.yaml"
    path.write_text(WHOLE, encoding="utf-8")
    order, visit = load(path)
    assert order == Definition(
        name="order-fulfilment",
        start=("OrderPlaced",),
        steps=(
            OwedStep("PaymentSucceeded"),
            OwedStep("InventoryReserved", "inventory-service", 120_000_000),
            OwedStep("4711"),
        ),
        ends=(
            ("OrderCompleted", "completed"),
            ("OrderArchived", "completed"),
            ("OrderRejected", "failed"),
        ),
        limit_us=5_400_000_000,
        reuse=True,
        keys=("order_id",),
    )
    assert visit == Definition(name="visit", start=("Came", "Returned"))
    assert from_json(to_json((order, visit))) == (order, visit)


@pytest.mark.parametrize("path", BROKEN, ids=[path.stem for path in BROKEN])
def test_each_mistake_is_told_with_its_place_and_a_way_on(path: Path) -> None:
    with pytest.raises(DefinitionError) as found:
        load(path)
    assert found.value.help
    expected = path.with_suffix(".expected")
    shown = told(found.value, path)
    if os.environ.get("CLEW_UPDATE_GOLDEN"):
        expected.write_text(shown, encoding="utf-8")
    assert shown == expected.read_text(encoding="utf-8")


def test_no_two_kinds_of_mistake_have_one_message() -> None:
    messages = [path.with_suffix(".expected").read_text(encoding="utf-8").split("\n")[0] for path in BROKEN]
    # The bomb is an alias like another; it is there since it must not be unfolded.
    assert sorted(message for message in messages if messages.count(message) > 1) == [
        "aliases are not allowed here",
        "aliases are not allowed here",
    ]


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(10_000_000)
    with pytest.raises(DefinitionError, match="more than 1,000,000 bytes is not a definitions file") as found:
        load(path)
    assert "clew ingest" in found.value.help


def test_a_missing_file_and_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(DefinitionError, match="Is a directory"):
        load(tmp_path)


def test_deep_nesting_is_told_and_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("flows: " + "[" * 100_000, encoding="utf-8")
    with pytest.raises(DefinitionError, match="nested too deeply"):
        load(path)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [("1us", 1), ("1.5ms", 1_500), ("90s", 90_000_000), ("1h30m", 5_400_000_000), ("2d 1h", 176_400_000_000)],
)
def test_durations_have_units(text: str, microseconds: int) -> None:
    assert duration_us(text) == microseconds


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 minutes", "-1s", "0s", "1e9s", "5m!", "9" * 400 + "d", "1h-30m"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|is not above zero|has no unit"):
        duration_us(text)
