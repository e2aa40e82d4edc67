"""A flow definition as it is written: a tree of steps and groups, each with its place in the file.

Items are compared by identity: two that say the same are still two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from yaml.nodes import Node

from clew.reconstruct.definition_nodes import Named


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """An event that is owed."""

    node: Node
    events: tuple[Named, ...]
    service: str | None = None
    versions: tuple[str, ...] = ()
    optional: bool = False
    limit_us: int | None = None
    limit_at: Node | None = None
    at_least: int = 1
    at_most: int | None = None
    after: tuple[Named, ...] | None = None
    """What it waits for; None: what stands before it."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.events[0].text


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """One after the other."""

    node: Node
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True, eq=False)
class All:
    """In any order; what follows waits for every one."""

    node: Node
    lanes: tuple[Sequence, ...]


@dataclass(frozen=True, slots=True, eq=False)
class OneOf:
    """A choice of branches."""

    node: Node
    branches: tuple[Sequence, ...]


@dataclass(frozen=True, slots=True, eq=False)
class AnyOf:
    """In any order; what follows waits for ``needs`` of them."""

    node: Node
    needs: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Maybe:
    """A sequence that may be left out; once begun, it is owed."""

    node: Node
    row: Sequence


Item = Step | Sequence | All | OneOf | AnyOf | Maybe


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """One flow type."""

    name: str
    node: Node
    start: tuple[Named, ...]
    steps: Sequence
    ends: tuple[tuple[Named, str], ...] = ()
    compensations: tuple[tuple[Named, tuple[Named, ...]], ...] = ()
    """The event that undoes, and the steps that it undoes."""
    limit_us: int | None = None
    reuse: bool = False
    keys: tuple[str, ...] = ()


def parts(item: Item) -> tuple[Item, ...]:
    """What an item consists of; nothing for a step."""
    match item:
        case Step():
            return ()
        case Sequence():
            return item.items
        case All():
            return item.lanes
        case OneOf():
            return item.branches
        case AnyOf():
            return item.steps
        case Maybe():
            return (item.row,)


def steps_of(item: Item) -> Iterator[Step]:
    """Every step of an item, in the file's order."""
    if isinstance(item, Step):
        yield item
    for part in parts(item):
        yield from steps_of(part)
