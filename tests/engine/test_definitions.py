"""Flow definitions are read, kept and read back; each mistake in one is told with its place and a way on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.engine.cases import FIXTURES

from clew.cli.errors import message, render
from clew.cli.look import Look
from clew.reconstruct.definitions import (
    Branch,
    Clause,
    Definition,
    Quorum,
    Role,
    Rule,
    duration_us,
    from_json,
    load,
    to_json,
)
from clew.reconstruct.errors import DefinitionError, StoreUnusable

BROKEN = sorted((FIXTURES / "definitions" / "broken").glob("*.yaml"))

WHOLE = """
flows:
  order-fulfilment:
    start: OrderPlaced
    steps:
      - one_of:
          - {event: [PaymentSucceeded, PaymentSucceededV2], limit: 2m}
          - [PaymentFailed, OrderRejected]
      - all:
          - {event: InventoryReserved, service: inventory-service, versions: ["1", 2.0]}
          - {event: "4711", repeats: {at_least: 1, at_most: 5}}
      - {event: GiftWrapped, optional: true, after: PaymentSucceeded}
      - {any: 2, of: [Scanned, Weighed, Filmed]}
    ends:
      completed: [OrderCompleted, OrderArchived]
      failed: OrderRejected
      compensated: OrderRefunded
    compensations: {PaymentRefunded: PaymentSucceeded}
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


def read(text: str, folder: Path) -> tuple[Definition, ...]:
    path = folder / "flows.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_a_definition_is_compiled_to_rules_of_which_each_says_what_it_waits_for(tmp_path: Path) -> None:
    order, visit = read(WHOLE, tmp_path)
    paid = (Clause((1, 3)), Clause((1,), when=(1,)), Clause((3,), when=(2,)))
    packed = (Clause((4,)), Clause((5,)), Clause((6,), when=(3, 4)))
    quorum = Quorum(1, 2)
    assert order == Definition(
        name="order-fulfilment",
        start=("OrderPlaced",),
        rules=(
            Rule(1, ("PaymentSucceeded", "PaymentSucceededV2"), limit_us=120_000_000, branches=(1,)),
            Rule(2, ("PaymentFailed",), branches=(2,)),
            Rule(3, ("OrderRejected",), after=(Clause((2,)),), branches=(2,)),
            Rule(4, ("InventoryReserved",), "inventory-service", ("1", "2.0"), after=paid),
            Rule(5, ("4711",), after=paid, at_least=1, at_most=5),
            Rule(6, ("GiftWrapped",), after=(Clause((1,)),), branches=(3, 4)),
            Rule(7, ("Scanned",), after=packed, quorum=quorum),
            Rule(8, ("Weighed",), after=packed, quorum=quorum),
            Rule(9, ("Filmed",), after=packed, quorum=quorum),
            Rule(10, ("PaymentRefunded",), undoes=(1,), role=Role.UNDO),
            Rule(
                11,
                ("OrderCompleted", "OrderArchived"),
                after=(Clause((7, 8, 9), needs=2),),
                role=Role.COMPLETED,
            ),
            Rule(12, ("OrderRefunded",), role=Role.COMPENSATED),
        ),
        branches=(
            Branch(1, 1, begun_by=(1,)),
            Branch(2, 1, begun_by=(2, 3)),
            Branch(3, None, begun_by=(6,)),
            Branch(4, None, begun_by=(1, 6)),
        ),
        ends=(
            ("OrderCompleted", "completed"),
            ("OrderArchived", "completed"),
            ("OrderRejected", "failed"),
            ("OrderRefunded", "compensated"),
        ),
        limit_us=5_400_000_000,
        reuse=True,
        keys=("order_id",),
    )
    assert visit == Definition(name="visit", start=("Came", "Returned"))
    assert from_json(to_json((order, visit))) == (order, visit)


def test_the_short_form_is_a_sequence_of_names(tmp_path: Path) -> None:
    (order,) = read("flows: {order: {start: Placed, steps: [Paid, Packed]}}", tmp_path)
    assert order.rules == (Rule(1, ("Paid",)), Rule(2, ("Packed",), after=(Clause((1,)),)))


def test_a_good_end_is_owed_only_where_a_way_goes_on_and_no_step_is_one(tmp_path: Path) -> None:
    ends = "ends: {completed: [Done, Archived], failed: Rejected}"
    for steps, owed in (
        ("[Paid]", ("Done", "Archived")),
        ("[]", ("Done", "Archived")),
        ("[Paid, Done]", ()),
        ("[{one_of: [[Paid, Done], Rejected]}]", ()),
        ("[{one_of: [[Paid, Done], Invoiced]}]", ("Archived",)),
        ("[{any: 2, of: [Paid, Done, Rejected]}]", ()),
        ("[{any: 1, of: [Paid, Done, Rejected]}]", ("Archived",)),
    ):
        (order,) = read(f"flows: {{order: {{start: Placed, steps: {steps}, {ends}}}}}", tmp_path)
        found = [rule.events for rule in order.rules if rule.role is Role.COMPLETED]
        assert found == ([owed] if owed else []), steps


def test_a_step_may_repeat_exactly_or_within_bounds(tmp_path: Path) -> None:
    for written, bounds in (
        ("2", (2, 2)),
        ("{at_least: 2, at_most: 2}", (2, 2)),
        ("{at_least: 3}", (3, None)),
        ("{at_most: 3}", (1, 3)),
    ):
        (order,) = read(
            f"flows: {{order: {{start: Placed, steps: [{{event: A, repeats: {written}}}]}}}}", tmp_path
        )
        assert (order.rules[0].at_least, order.rules[0].at_most) == bounds


def test_what_an_older_store_keeps_means_what_it_meant() -> None:
    kept = """[{"name": "order", "start": ["Placed"], "limit_us": 9, "reuse": false, "keys": ["order_id"],
        "steps": [{"event": "Paid", "service": null, "limit_us": 5}, {"event": "Packed", "service": "w", "limit_us": null}],
        "ends": [["Done", "completed"], ["Rejected", "failed"]]}]"""
    assert from_json(kept) == (
        Definition(
            name="order",
            start=("Placed",),
            rules=(
                Rule(1, ("Paid",), limit_us=5),
                Rule(2, ("Packed",), "w"),
                Rule(3, ("Done",), after=(Clause((1,)), Clause((2,))), role=Role.COMPLETED),
            ),
            ends=(("Done", "completed"), ("Rejected", "failed")),
            limit_us=9,
            keys=("order_id",),
        ),
    )


def test_what_a_newer_store_keeps_is_refused() -> None:
    with pytest.raises(StoreUnusable, match="of version 3; this clew reads up to 2") as found:
        from_json('{"version": 3, "definitions": []}')
    assert found.value.help


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


@pytest.mark.parametrize("path", BROKEN, ids=[path.stem for path in BROKEN])
def test_each_mistake_is_marked_in_its_line(path: Path) -> None:
    with pytest.raises(DefinitionError) as found:
        load(path)
    error = found.value
    lines = [line.plain for line in render(message(error), Look(4000, "utf-8"))]
    if not error.text:
        assert path.stem in {"empty", "not-utf-8"}
        return
    gutter, mark = lines[2].index("|") + 2, next(line for line in lines if line.endswith("^"))
    assert mark.index("^") - gutter == error.column - 1
    marked = lines[2][mark.index("^") :][: mark.count("^")]
    assert marked in {marked.strip(), " "}  # what is not there has a place, too


def test_a_small_file_does_not_become_a_large_store(tmp_path: Path) -> None:
    groups = [", ".join(f"E{group}x{number}" for number in range(250)) for group in range(2)]
    wide = "".join(
        f"  flow-{number}: {{start: S{number}, steps: [{{all: [{groups[0]}]}}, {{all: [{groups[1]}]}}]}}\n"
        for number in range(2)
    )
    with pytest.raises(
        DefinitionError, match="up to flow-1, steps wait for others in more than 100,000 ways"
    ):
        read(f"flows:\n{wide}", tmp_path)
    undoing = ", ".join(f"U{number}: Paid" for number in range(501))
    with pytest.raises(DefinitionError, match="order has more than 500 compensations"):
        read(f"flows: {{order: {{start: Placed, steps: [Paid], compensations: {{{undoing}}}}}}}", tmp_path)


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


def test_a_name_of_any_length_is_told_within_a_line(tmp_path: Path) -> None:
    names = ", ".join(f"{'S' * 900}{number}" for number in range(400))
    with pytest.raises(DefinitionError) as found:
        read(
            f"flows: {{order: {{start: Placed, steps: [{names}, {{event: X, after: {'N' * 90_000}}}]}}}}",
            tmp_path,
        )
    assert str(found.value) == f"order: after {'N' * 60}…, which is none of its steps"
    assert len(found.value.help) <= 600
