"""What a rule says: a cause, the clues that speak for it, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clew.reconstruct.causes.scene import Scene


@dataclass(frozen=True, slots=True)
class Clue:
    """One thing that a record says, and where it says so."""

    said: str
    time: datetime | None = None
    service: str | None = None
    source: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do next; ``command`` are the words after ``clew`` where a command does it."""

    do: str
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause that holds."""

    name: str
    said: str
    """What happened, as a clause of a sentence."""
    clues: tuple[Clue, ...] = ()
    next: tuple[Action, ...] = ()
    explains: bool = False
    """Whether it is the flow's stored cause or a refinement of it; else it holds besides."""
    inferred: bool = False
    """Whether it follows from what was learned of other flows, not from a record or a written definition."""
    likelihood: float | None = None
    """How likely it holds, where it is inferred; None for what was observed."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a cause holds."""

    name: str
    meaning: str
    """One sentence."""
    find: Callable[[Scene], Iterator[Cause]]
