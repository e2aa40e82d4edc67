"""Learns, from sampled lines, the shapes in which a logger writes JSON.

A shape is an exact template: the members in their order, with their punctuation. A line
that equals its template filled with the line's own values holds nothing else, so that
every question about it (other members? duplicates? nulls? escapes?) is answered by one
comparison of texts, which costs less than any second look into the JSON. A line that
fits no shape is decoded by the full SELECT, to the same Record: shapes only save time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clew.collectors.formats.paths import Steps

_WRITABLE = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]+')
"""Names that SQL and JSON write in one way: an identifier is never empty, and half a surrogate no text."""

MOST_SHAPES = 4
_MOST_MEMBERS = 120
_LEAST_SHARE = 50
"""A shape of less than one in this many sampled lines is not worth its comparison."""


@dataclass(slots=True)
class Member:
    """One member of an object in a shape."""

    name: str
    steps: Steps
    quotes: bool | None = None
    """A string; False for a number, truth value, array or object; None where only null was seen."""
    escapes: bool = False
    """A string in which some line needed escapes."""
    null: bool = False
    """Written as null where it has no value, instead of being left out."""
    object: bool = False
    """An object as one value."""
    array: bool = False
    members: list[Member] | None = None
    """For an object that is looked into."""
    seen: int = 0


@dataclass(slots=True)
class Shape:
    """The lines of one logger."""

    members: list[Member]
    colon: str
    comma: str
    lines: int = 0


@dataclass(frozen=True, slots=True)
class Shapes:
    """What was learned: shapes, the commonest first."""

    shapes: tuple[Shape, ...]
    leaves: frozenset[Steps]
    objects: frozenset[Steps]
    """Leaves that hold objects as one value, into which a path may lead."""
    arrays: frozenset[Steps]
    """Leaves that hold arrays, likewise."""

    def known(self, steps: Steps) -> bool:
        """Whether anything can be at ``steps`` in a line that fits a shape."""
        if steps in self.leaves:
            return True
        # A name leads into an object, an index into an array.
        return any(
            (steps[:end] in self.arrays) if isinstance(steps[end], int) else (steps[:end] in self.objects)
            for end in range(1, len(steps))
        )

    def plain(self, steps: Steps) -> bool:
        """Whether the text at ``steps`` needs no escaping in JSON."""
        members = self.member(steps)
        return bool(members) and all(one.quotes and not one.escapes for one in members)

    def member(self, steps: Steps) -> list[Member]:
        """The members at ``steps``, one for each shape that has it."""
        return [found for shape in self.shapes for found in _at(shape.members, steps)]


def _at(members: Iterable[Member], steps: Steps) -> list[Member]:
    for member in members:
        if member.steps == steps:
            return [member]
        if member.members is not None and steps[: len(member.steps)] == member.steps:
            return _at(member.members, steps)
    return []


def learn(lines: Sequence[str], asked: Iterable[Steps]) -> Shapes | None:
    """Shapes of the sampled lines; None when there are none worth a template.

    ``asked`` are all places that the full SELECT looks into: an object above one of them
    becomes members of its own, unless it is asked for itself; any other is one opaque value.
    """
    asked = set(asked)
    opened = {steps[:end] for steps in asked for end in range(1, len(steps))} - asked
    shapes: list[Shape] = []
    for line in lines:
        pairs = _pairs(line)
        if pairs is None:
            continue
        colon, comma = _style(line)
        members = _members(pairs, (), opened)
        if members is None:
            continue
        for shape in shapes:
            if (shape.colon, shape.comma) == (colon, comma):
                merged = _merge(shape.members, members, shape.lines)
                if merged is not None:
                    shape.members, shape.lines = merged, shape.lines + 1
                    break
        else:
            shapes.append(Shape(members, colon, comma, 1))
    shapes.sort(key=lambda shape: -shape.lines)
    kept = tuple(shape for shape in shapes[:MOST_SHAPES] if shape.lines * _LEAST_SHARE >= len(lines))
    if not kept or any(sum(1 for _ in values_in(shape.members)) > _MOST_MEMBERS for shape in kept):
        return None
    leaves = [member for shape in kept for member in values_in(shape.members)]
    return Shapes(
        kept,
        leaves=frozenset(member.steps for member in leaves),
        objects=frozenset(member.steps for member in leaves if member.object),
        arrays=frozenset(member.steps for member in leaves if member.array),
    )


class _Pairs(list[tuple[str, Any]]):
    """An object's members in their order."""


def _pairs(line: str) -> _Pairs | None:
    try:
        found = json.loads(line, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, _Pairs) and found else None


def _style(line: str) -> tuple[str, str]:
    # Only the two usual styles; any other fits no template and goes the full way.
    name_end = line.find('":')
    spaced = line[name_end + 2 : name_end + 3] == " "
    return (": ", ", ") if spaced else (":", ",")


def _members(pairs: _Pairs, above: Steps, opened: set[Steps]) -> list[Member] | None:
    members: list[Member] = []
    names: set[str] = set()
    for name, value in pairs:
        if name in names or not _WRITABLE.fullmatch(name):
            return None
        names.add(name)
        member = Member(name, (*above, name), seen=1)
        if isinstance(value, _Pairs) and member.steps in opened:
            if not value:
                return None
            member.members = _members(value, member.steps, opened)
            if member.members is None:
                return None
        elif value is None:
            if above:
                return None
            member.null = True
        else:
            member.quotes = isinstance(value, str)
            member.object = isinstance(value, _Pairs)
            member.array = isinstance(value, list) and not member.object
            # Where words are written, some later line will have a quote or a line end among them.
            member.escapes = isinstance(value, str) and (
                " " in value or json.dumps(value, ensure_ascii=False) != f'"{value}"'
            )
        members.append(member)
    return members


def _merge(old: list[Member], new: list[Member], lines: int) -> list[Member] | None:
    """Both orders in one, or None where they contradict each other."""
    places = {member.name: place for place, member in enumerate(old)}
    merged = list(old)
    last = -1
    for member in new:
        if member.name in places:
            place = next(i for i, one in enumerate(merged) if one.name == member.name)
            if place <= last:
                return None
            one = _joined(merged[place], member, lines)
            if one is None:
                return None
            merged[place] = one
        else:
            place = last + 1
            merged.insert(place, member)
        last = place
    return merged


def _joined(old: Member, new: Member, lines: int) -> Member | None:
    if (old.members is None) != (new.members is None):
        return None
    members = None
    if old.members is not None and new.members is not None:
        members = _merge(old.members, new.members, lines)
        if members is None:
            return None
    return Member(
        old.name,
        old.steps,
        quotes=new.quotes if old.quotes is None else old.quotes,
        escapes=old.escapes or new.escapes,
        object=old.object or new.object,
        array=old.array or new.array,
        null=old.null or new.null,
        members=members,
        seen=old.seen + 1,
    )


def values_in(members: Iterable[Member]) -> Iterable[Member]:
    """The members that are values and not looked into, at any depth."""
    for member in members:
        if member.members is None:
            yield member
        else:
            yield from values_in(member.members)
