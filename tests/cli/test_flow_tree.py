"""No step is lost by drawing: each is a row, folded and counted, or counted as left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from clew.cli.flow_tree import MOST_ROWS, Row, roots, rows
from clew.cli.look import Look
from clew.cli.timebar import Scale, bar
from clew.reconstruct.detail import Step, StepKind

BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)


@st.composite
def forests(draw: st.DrawFn) -> list[Step]:
    """Steps in happens-before order: each parent stands before its effects, or is not stored."""
    steps: list[Step] = []
    for id_ in range(draw(st.integers(0, 25))):
        parent = draw(st.none() | st.integers(0, id_ - 1)) if id_ else None
        start = draw(st.none() | st.integers(-(10**6), 10**12))
        took = draw(st.none() | st.integers(0, 10**11))
        begin = None if start is None else BEGIN + timedelta(microseconds=start)
        steps.append(
            Step(
                id=id_,
                parent=parent,
                via="span",
                kind=draw(st.sampled_from(list(StepKind))),
                name=draw(st.sampled_from(["a", "b"])),
                service=draw(st.sampled_from(["x", "y", None])),
                start=begin,
                end=None if begin is None or took is None else begin + timedelta(microseconds=took),
                open=draw(st.booleans()),
                queue_wait_us=draw(st.none() | st.integers(0, 10**9)),
                skew_us=draw(st.integers(0, 5)),
                system=None,
                destination=None,
                partition=None,
                offset=None,
                consumer_group=None,
                event_id=None,
                span_id=None,
                attempt=draw(st.integers(1, 3)),
                status=draw(st.sampled_from(["ok", "error"])),
                error_type=None,
                error_message=None,
                dead_letter=None,
                missing_parent=draw(st.none() | st.just("gone")),
                shared=False,
                observations=(),
                logs=(),
            )
        )
    return steps


def counted(drawn: list[Row]) -> int:
    return sum(
        row.left
        + (row.fold.steps + row.fold.below if row.fold is not None else 0)
        + (row.node is not None and row.node.step is not None)
        for row in drawn
    )


@given(forests())
def test_every_step_is_drawn_or_counted_in_a_fold(steps: list[Step]) -> None:
    assert counted(list(rows(roots(steps)))) == len(steps)


@given(forests())
def test_all_draws_every_step_once_with_each_parent_above(steps: list[Step]) -> None:
    seen: list[int] = []
    for row in rows(roots(steps), everything=True):
        assert row.fold is None
        if row.node is not None and row.node.step is not None:
            step = row.node.step
            assert (row.parent is None) == (step.parent is None)
            assert row.parent is None or row.parent.id in seen
            seen.append(step.id)
    assert sorted(seen) == [step.id for step in steps]


@given(forests(), st.integers(1, 120))
def test_every_bar_is_as_wide_as_the_scale(steps: list[Step], width: int) -> None:
    scale = Scale(steps, width)
    assert [step.id for step in steps if bar(step, scale, Look()).cells != width] == []


@given(forests(), st.integers(20, 120))
def test_a_later_moment_is_never_left_of_an_earlier_one(steps: list[Step], width: int) -> None:
    scale = Scale(steps, width)
    offsets = sorted(offset for step in steps if (offset := scale.offset(step.start)) is not None)
    columns = [scale.column(offset) for offset in offsets]
    assert columns == sorted(columns)
    assert all(0 <= column < width for column in columns)


def test_a_flow_of_many_different_steps_ends_with_how_many_are_left(one_step: Step) -> None:
    from dataclasses import replace

    steps = [replace(one_step, id=id_, name=f"step {id_}") for id_ in range(MOST_ROWS * 2)]
    drawn = list(rows(roots(steps)))
    assert len(drawn) == MOST_ROWS + 1
    assert drawn[-1].left == MOST_ROWS
    assert counted(drawn) == len(steps)


def test_causes_thousands_of_steps_deep_need_no_recursion(one_step: Step) -> None:
    from dataclasses import replace

    deep = [
        replace(one_step, id=id_, parent=id_ - 1 if id_ else None, name=f"step {id_ % 2}")
        for id_ in range(20_000)
    ]
    assert counted(list(rows(roots(deep)))) == 20_000
    assert counted(list(rows(roots(deep), everything=True))) == 20_000
