"""Written flow definitions: how a flow starts, what it owes, in which order, and how it ends.

```yaml
flows:
  order-fulfilment:
    start: OrderPlaced                        # an event, or a list of alternatives
    steps:                                    # a list is a sequence
      - one_of:                               # a choice; a branch may be a list
          - {event: [PaymentSucceeded, PaymentSucceededV2], limit: 2m}
          - [PaymentFailed, OrderRejected]    # ends here: OrderRejected is an end
      - all:                                  # in any order; what follows waits for all of them
          - {event: InventoryReserved, service: inventory-service}
          - {event: LabelPrinted, repeats: {at_least: 1, at_most: 5}}
      - {event: GiftWrapped, optional: true}
      - ShipmentDispatched
    ends:
      completed: OrderCompleted
      failed: OrderRejected
    compensations: {PaymentRefunded: PaymentSucceeded}
    limit: 5m                                 # for the whole, from the start
    reuse: true                               # a start after an end is another run of the same ID
    keys: order_id
```

A list of steps is a **sequence**: a step is owed once what stands before it was seen, and its
``limit`` counts from then. The whole's ``limit`` counts from the start, and nothing may be owed
beyond it. Where neither is given, the store's default limit counts from when the step became
owed. (A list used to be owed in any order, each limit counted from the start: ``all`` says that
now.) docs/definitions.md is the manual, :mod:`clew.reconstruct.owed`
the meaning of each rule in Python, ``flows.schema.json`` the file's JSON Schema.

Each definition is compiled to flat rules, so that an engine can evaluate many flows at once:
one table of rules, one of edges (a clause's rules and branches) and one of branches.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from clew.reconstruct.errors import StoreUnusable

ENDS = ("completed", "failed", "cancelled", "compensated")
UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
LONGEST_US = 36_525 * UNITS["d"]
SCHEMA = Path(__file__).with_name("flows.schema.json")
"""The JSON Schema of a definitions file."""
VERSION = 2
"""Of the form in which a store keeps definitions; 1 had neither order nor choices."""


class Role(StrEnum):
    """What a rule stands for."""

    STEP = "step"
    """Written among the steps."""
    UNDO = "undo"
    """Undoes a step and is written among the compensations only: owed once undoing has begun."""
    COMPLETED = "completed"
    """The good end, where no step is one: owed once the steps were seen."""
    COMPENSATED = "compensated"
    """The end that tells of the undoing, where no step is one: owed once all is undone."""


class Branch(NamedTuple):
    """A part of a definition that is not owed in every run.

    It is begun when any of the rules in ``begun_by`` was seen at least once. ``choice`` is the
    number of the choice that it belongs to, of whose branches one is owed; None where it may
    be left out.
    """

    number: int
    choice: int | None
    begun_by: tuple[int, ...]


class Quorum(NamedTuple):
    """A group of rules of which ``needs`` are owed: once so many are done, the others owe nothing."""

    number: int
    needs: int


class Clause(NamedTuple):
    """A condition: at least ``needs`` of ``rules`` are done; void unless every branch in ``when`` is begun."""

    rules: tuple[int, ...]
    needs: int = 1
    when: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A thing that a flow may owe: an event of one of these names, from ``service``, of ``versions``.

    It is *seen* with each such event, and *done* with the ``at_least``-th. It is owed while it is
    not done, all clauses in ``after`` hold, and each of its branches is begun or belongs to a
    choice of which no branch is begun yet (then all of that choice are alternatives).
    """

    number: int
    """From 1, in the order of the file."""
    events: tuple[str, ...]
    """Names that mean the same, such as those of two versions of one event."""
    service: str | None = None
    versions: tuple[str, ...] = ()
    """Schema versions that count; empty: any, told or not."""
    after: tuple[Clause, ...] = ()
    at_least: int = 1
    at_most: int | None = None
    limit_us: int | None = None
    """From when it became owed."""
    branches: tuple[int, ...] = ()
    quorum: Quorum | None = None
    undoes: tuple[int, ...] = ()
    """Numbers of the rules that it undoes."""
    role: Role = Role.STEP


@dataclass(frozen=True, slots=True)
class Definition:
    """One flow type."""

    name: str
    start: tuple[str, ...]
    rules: tuple[Rule, ...] = ()
    branches: tuple[Branch, ...] = ()
    ends: tuple[tuple[str, str], ...] = ()
    """(event, outcome) pairs; outcome is one of :data:`ENDS`. An end counts whichever service tells of it."""
    limit_us: int | None = None
    """From the start, for the whole."""
    reuse: bool = False
    keys: tuple[str, ...] = ()


def duration_us(text: str) -> int:
    """``90s``, ``5m``, ``1h30m`` in microseconds.

    Raises:
        ValueError: not a duration, not above zero, or beyond a hundred years.
    """
    shown, plain = repr(text[:40]), text.strip().removeprefix("-")
    parts = re.findall(r"(\d{1,9}(?:\.\d{1,9})?)(us|ms|s|m|h|d)", plain)
    if re.fullmatch(r"[\d.]+", plain):
        raise ValueError(f"{shown} has no unit: us, ms, s, m, h or d")
    if not parts or "".join(number + unit for number, unit in parts) != plain.replace(" ", ""):
        raise ValueError(f"{shown} is not a duration such as 90s, 5m or 1h30m")
    total = int(sum(float(number) * UNITS[unit] for number, unit in parts))
    if total <= 0 or plain != text.strip():
        raise ValueError(f"{shown} is not above zero")
    if total > LONGEST_US:
        raise ValueError(f"{shown} is more than a hundred years")
    return total


def load(path: Path) -> tuple[Definition, ...]:
    """Read a definitions file.

    Raises:
        DefinitionError: with file, line, the offending text and help.
    """
    from clew.reconstruct.definition_file import Place, root, text
    from clew.reconstruct.definition_reader import Reader

    place = Place(str(path), text(path))
    return Reader(place).definitions(root(place))


def to_json(definitions: tuple[Definition, ...]) -> str:
    """The form in which a store keeps them."""
    return json.dumps({"version": VERSION, "definitions": [asdict(definition) for definition in definitions]})


def from_json(text: str) -> tuple[Definition, ...]:
    """Read what :func:`to_json` wrote, in this version or an earlier one.

    Raises:
        StoreUnusable: a later version wrote it.
    """
    kept = json.loads(text)
    if isinstance(kept, list):
        return tuple(_first_version(item) for item in kept)
    if kept["version"] != VERSION:
        raise StoreUnusable(
            f"its flow definitions are of version {kept['version']}; this clew reads up to {VERSION}",
            help="use the clew that wrote them, or a newer one",
        )
    return tuple(_second_version(item) for item in kept["definitions"])


def _second_version(item: dict[str, Any]) -> Definition:
    return Definition(
        **_common(item),
        rules=tuple(_rule(rule) for rule in item["rules"]),
        branches=tuple(Branch(number, choice, tuple(by)) for number, choice, by in item["branches"]),
    )


def _rule(item: dict[str, Any]) -> Rule:
    lists = {name: tuple(item[name]) for name in ("events", "versions", "branches", "undoes")}
    after = tuple(Clause(tuple(rules), needs, tuple(when)) for rules, needs, when in item["after"])
    quorum = None if item["quorum"] is None else Quorum(*item["quorum"])
    return Rule(**{**item, **lists, "after": after, "quorum": quorum, "role": Role(item["role"])})


def _first_version(item: dict[str, Any]) -> Definition:
    """Its steps were owed from the start in any order; its end once all were seen."""
    steps = tuple(
        Rule(number, (step["event"],), step["service"], limit_us=step["limit_us"])
        for number, step in enumerate(item["steps"], 1)
    )
    names = {rule.events[0] for rule in steps}
    good = tuple(event for event, outcome in item["ends"] if outcome == "completed" and event not in names)
    seen = tuple(Clause((rule.number,)) for rule in steps)
    end = (Rule(len(steps) + 1, good, after=seen, role=Role.COMPLETED),) if good else ()
    return Definition(**_common(item), rules=steps + end)


def _common(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": item["name"],
        "start": tuple(item["start"]),
        "ends": tuple((event, outcome) for event, outcome in item["ends"]),
        "limit_us": item["limit_us"],
        "reuse": item["reuse"],
        "keys": tuple(item["keys"]),
    }
