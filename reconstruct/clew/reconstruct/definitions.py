"""Written flow definitions: how a flow starts, what it owes, and how it ends.

```yaml
flows:
  order-fulfilment:
    start: OrderPlaced                  # an event, or a list of alternatives
    steps:                              # owed once the flow has started
      - PaymentSucceeded
      - {event: InventoryReserved, service: inventory-service, limit: 2m}
    ends:
      completed: [OrderCompleted]
      failed: [OrderRejected]
    limit: 5m                           # for the whole
    reuse: true                         # a start after an end is another run of the same ID
    keys: [order_id]
```
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clew.reconstruct.errors import DefinitionError

if TYPE_CHECKING:
    from yaml.nodes import Node

    from clew.reconstruct.definition_reader import Place

ENDS = ("completed", "failed", "cancelled", "compensated")
UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)
LONGEST_US = 36_525 * UNITS["d"]
LARGEST = 1_000_000
"""Bytes of a definitions file; more is a mistake."""


@dataclass(frozen=True, slots=True)
class OwedStep:
    """An event that a started flow owes, within ``limit_us`` of the start if it has one."""

    event: str
    service: str | None = None
    limit_us: int | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """One flow type."""

    name: str
    start: tuple[str, ...]
    steps: tuple[OwedStep, ...] = ()
    ends: tuple[tuple[str, str], ...] = ()
    """(event, outcome) pairs; outcome is one of :data:`ENDS`."""
    limit_us: int | None = None
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
    from clew.reconstruct.definition_reader import Place, Reader

    text = _text(path)
    place = Place(str(path), text)
    return Reader(place).definitions(_root(place))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise DefinitionError(
            f"cannot read definitions: {error.strerror}",
            file=str(path),
            help="check the path and who may read it",
        ) from error
    if len(raw) > LARGEST:
        raise DefinitionError(
            f"more than {LARGEST:,} bytes is not a definitions file",
            file=str(path),
            help="give a file of flow definitions; log files go to 'clew ingest'",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DefinitionError(
            f"not UTF-8 at byte {error.start + 1}",
            file=str(path),
            line=raw.count(b"\n", 0, error.start) + 1,
            help="save the file as UTF-8",
        ) from error


def _root(place: Place) -> Node | None:
    """The file's tree of nodes; None for an empty file."""
    import yaml

    class Plain(yaml.SafeLoader):
        """No aliases, which make a small file into a large tree, and no tags."""

        def compose_node(self, parent: Node | None, index: int) -> Node | None:
            if self.check_event(yaml.AliasEvent):
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
                raise place.error(
                    "aliases are not allowed here",
                    line=mark.line + 1,
                    column=mark.column + 1,
                    help="write the entry out",
                )
            node = super().compose_node(parent, index)
            if node is not None and node.tag not in PLAIN_TAGS:
                raise place.at(node, f"tags are not allowed here: {node.tag}", "leave it out")
            return node

    try:
        loader = Plain(place.text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        told = ", ".join(said for said in (error.context, error.problem) if said)
        # Where something was opened and never closed, the end of the file tells nothing.
        unclosed = "end of stream" in told
        mark = (error.context_mark if unclosed else error.problem_mark) or error.problem_mark
        raise place.error(
            f"not YAML: {told}",
            line=mark.line + 1 if mark else 1,
            column=mark.column + 1 if mark else 1,
            help="close what is open there" if unclosed else "check the indentation and quoting of this line",
        ) from error
    except yaml.reader.ReaderError as error:
        before = place.text[: error.position]
        raise place.error(
            f"not YAML: a control character, {error.character:#x}",
            line=before.count("\n") + 1,
            column=len(before) - before.rfind("\n"),
            help="remove it",
        ) from error
    except RecursionError as error:
        raise place.error(
            "nested too deeply",
            line=1,
            help="a definition is three levels deep: flows, a flow type, its entries",
        ) from error


def to_json(definitions: tuple[Definition, ...]) -> str:
    """The form in which a store keeps them."""
    return json.dumps([asdict(definition) for definition in definitions])


def from_json(text: str) -> tuple[Definition, ...]:
    """Read what :func:`to_json` wrote."""
    return tuple(
        Definition(
            name=item["name"],
            start=tuple(item["start"]),
            steps=tuple(OwedStep(**step) for step in item["steps"]),
            ends=tuple((event, outcome) for event, outcome in item["ends"]),
            limit_us=item["limit_us"],
            reuse=item["reuse"],
            keys=tuple(item["keys"]),
        )
        for item in json.loads(text)
    )
