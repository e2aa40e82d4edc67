"""Flow definitions made by chance, walks through them, and what they owe as their nesting tells it.

A flow is what a definitions file holds below its name: names, lists and mappings. :func:`expected`
reads that nesting itself and knows nothing of rules, clauses and branches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from hypothesis import strategies as st

START = "Started"


# Definitions.


@st.composite
def flows(draw: st.DrawFn, deepest: int = 3) -> dict[str, Any]:
    """A flow type: a start and steps in groups; no two of one name, and no ends."""
    numbers = count(1)
    steps = draw(_row(partial(_item, numbers), deepest, most=4))
    whole = draw(st.sampled_from([None, 20, 60]))
    return {"start": START, "steps": steps} | ({"limit": f"{whole}s"} if whole else {})


@st.composite
def _row(draw: st.DrawFn, item: Any, deep: int, most: int = 3) -> list[Any]:
    return [draw(item(deep)) for _ in range(draw(st.integers(1, most)))]


@st.composite
def _item(draw: st.DrawFn, numbers: Iterator[int], deep: int) -> Any:
    kinds = ["step"] * 3 + (["all", "one_of", "any", "optional"] if deep else [])
    item = partial(_item, numbers)
    kind = draw(st.sampled_from(kinds))
    if kind == "step":
        return draw(_step(numbers))
    if kind == "any":
        steps = [draw(_step(numbers, certain=True)) for _ in range(draw(st.integers(2, 3)))]
        return {"any": draw(st.integers(1, len(steps))), "of": steps}
    if kind == "optional":
        return {"optional": draw(_row(item, deep - 1, 2))}
    lanes = [draw(_row(item, deep - 1, 2)) for _ in range(draw(st.integers(2, 3)))]
    if kind == "one_of":
        lanes = [lane if owes(lane) else [*lane, draw(_step(numbers, certain=True))] for lane in lanes]
    return {kind: [lane[0] if len(lane) == 1 and draw(st.booleans()) else lane for lane in lanes]}


@st.composite
def _step(draw: st.DrawFn, numbers: Iterator[int], *, certain: bool = False) -> Any:
    name = f"E{next(numbers)}"
    step: dict[str, Any] = {"event": name}
    if draw(st.booleans()):
        return name
    if draw(st.integers(0, 3)) == 0:
        step["event"] = [name, f"{name}V2"]
    repeats = draw(st.sampled_from([None, None, 2, {"at_least": 2, "at_most": 3}, {"at_most": 3}]))
    if repeats:
        step["repeats"] = repeats
    limit = draw(st.sampled_from([None, 3, 10]))
    if limit:
        step["limit"] = f"{limit}s"
    if not certain and draw(st.integers(0, 2)) == 0:
        step["optional"] = True
    return step


# What stands in them.


class Asked(NamedTuple):
    """A step, read."""

    names: tuple[str, ...]
    least: int
    most: int
    optional: bool
    limit: float


def is_step(item: Any) -> bool:
    return isinstance(item, str) or (isinstance(item, Mapping) and "event" in item)


def asked(item: Any) -> Asked:
    if isinstance(item, str):
        return Asked((item,), 1, 3, optional=False, limit=float("inf"))
    names = item["event"] if isinstance(item["event"], list) else [item["event"]]
    repeats = item.get("repeats", {})
    if isinstance(repeats, int):
        repeats = {"at_least": repeats, "at_most": repeats}
    least = repeats.get("at_least", 1)
    limit = float(item["limit"].removesuffix("s")) if "limit" in item else float("inf")
    return Asked(tuple(names), least, repeats.get("at_most", least + 2), item.get("optional", False), limit)


def parts(item: Any) -> Sequence[Any]:
    """What a list or group holds."""
    if isinstance(item, list):
        return item
    found: Sequence[Any] = next(item[key] for key in ("all", "one_of", "of", "optional") if key in item)
    return found


def steps(item: Any) -> list[Any]:
    return [item] if is_step(item) else [step for part in parts(item) for step in steps(part)]


def owes(item: Any) -> bool:
    """Whether it owes anything wherever it is reached."""
    if is_step(item):
        return not asked(item).optional
    return False if isinstance(item, dict) and "optional" in item else any(map(owes, parts(item)))


# Walks.


@st.composite
def walks(draw: st.DrawFn, item: Any) -> list[str]:
    """Events that lead through an item to its end, in an order that it allows."""
    if is_step(item):
        step = asked(item)
        if step.optional and draw(st.booleans()):
            return []
        times = draw(st.integers(step.least, min(step.most, step.least + 1)))
        return [draw(st.sampled_from(step.names)) for _ in range(times)]
    if isinstance(item, list):
        return [event for part in item for event in draw(walks(part))]
    if "optional" in item:
        return draw(walks(item["optional"])) if draw(st.booleans()) else []
    if "one_of" in item:
        return draw(walks(draw(st.sampled_from(item["one_of"]))))
    lanes = [draw(walks(part)) for part in parts(item)]
    if "any" in item:
        lanes = draw(st.permutations(lanes))[: draw(st.integers(item["any"], len(lanes)))]
    turns = draw(st.permutations([number for number, lane in enumerate(lanes) for _ in lane]))
    left = [iter(lane) for lane in lanes]
    return [next(left[turn]) for turn in turns]


# What they owe.


@dataclass(frozen=True)
class Stand:
    """How an item stands: what it owes, since when it is done, and whether what stood before still counts."""

    dues: tuple[tuple[int, tuple[tuple[str, float, float], ...]], ...]
    """(needs, of (name, since, deadline))"""
    done: float | None
    """-inf where it is left out."""
    keeps: bool = False


def expected(item: Any, times: Mapping[str, Sequence[float]], ready: float | None, whole: float) -> Stand:
    """How an item stands that is owed since ``ready``, where these events were seen at these times."""
    if is_step(item):
        return _expected_step(item, times, ready, whole)
    if isinstance(item, list):
        return _expected_row(item, times, ready, whole)
    if "optional" in item:
        row = _expected_row(item["optional"], times, ready, whole)
        return Stand(row.dues, done=row.done, keeps=True) if seen(item, times) else _left_out()
    each = [expected(part, times, ready, whole) for part in parts(item)]
    if "all" in item:
        return Stand(_dues(each), done=_latest(each), keeps=all(stand.keeps for stand in each))
    if "any" in item:
        return _expected_quorum(item["any"], each)
    begun = [stand for part, stand in zip(parts(item), each, strict=True) if seen(part, times)]
    alternatives = tuple(one for _, group in _dues(each) for one in group)
    undecided = Stand(((1, alternatives),) if alternatives else (), done=None)
    return Stand(_dues(begun), done=_latest(begun)) if begun else undecided


def _expected_quorum(needs: int, each: Sequence[Stand]) -> Stand:
    done = sorted(stand.done for stand in each if stand.done is not None)
    if len(done) >= needs:
        return Stand((), done=done[needs - 1])
    rest = tuple(one for _, group in _dues(each) for one in group)
    return Stand(((needs - len(done), rest),) if rest else (), done=None)


def _left_out() -> Stand:
    return Stand((), done=float("-inf"), keeps=True)


def _expected_step(
    item: Any, times: Mapping[str, Sequence[float]], ready: float | None, whole: float
) -> Stand:
    step = asked(item)
    mine = sorted(time for name in step.names for time in times.get(name, ()))
    if len(mine) >= step.least:
        return Stand((), done=mine[step.least - 1], keeps=step.optional)
    if step.optional and not mine:
        return _left_out()
    if ready is None:
        return Stand((), done=None, keeps=step.optional)
    due = (step.names[0], ready, min(ready + step.limit, whole))
    return Stand(((1, (due,)),), done=None, keeps=step.optional)


def _expected_row(
    row: Sequence[Any], times: Mapping[str, Sequence[float]], ready: float | None, whole: float
) -> Stand:
    stands: list[Stand] = []
    own: float | None = float("-inf")
    keeps = True
    for item in row:
        stand = expected(item, times, ready, whole)
        stands.append(stand)
        if stand.keeps:
            own, ready = _both(own, stand.done), _both(ready, stand.done)
        else:
            own = ready = stand.done
            keeps = False
    return Stand(_dues(stands), done=own, keeps=keeps)


def _both(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def _latest(stands: Sequence[Stand]) -> float | None:
    done = [stand.done for stand in stands]
    told = [time for time in done if time is not None]
    return max(told) if len(told) == len(done) else None


def _dues(stands: Sequence[Stand]) -> tuple[Any, ...]:
    return tuple(due for stand in stands for due in stand.dues)


def seen(item: Any, times: Mapping[str, Sequence[float]]) -> bool:
    return any(times.get(name) for step in steps(item) for name in asked(step).names)
