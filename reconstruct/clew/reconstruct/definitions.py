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
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clew.reconstruct.errors import DefinitionError

ENDS = ("completed", "failed", "cancelled", "compensated")
UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
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
        ValueError: not a duration, or not above zero.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)", text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip().replace(" ", ""):
        raise ValueError(f"{text!r} is not a duration such as 90s, 5m or 1h30m")
    total = int(sum(float(number) * UNITS[unit] for number, unit in parts))
    if total <= 0:
        raise ValueError(f"{text!r} is not above zero")
    return total


def load(path: Path) -> tuple[Definition, ...]:
    """Read a definitions file.

    Raises:
        DefinitionError: with file, line, the offending text and help.
    """
    import yaml

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DefinitionError(f"cannot read definitions: {error.strerror}", file=str(path)) from error
    if len(raw) > LARGEST:
        raise DefinitionError(
            f"{len(raw):,} bytes is not a definitions file",
            file=str(path),
            help=f"a file may have {LARGEST:,} bytes; split it by flow type",
        )
    try:
        text = raw.decode("utf-8")
        loader = _PlainLoader(text)
        try:
            tree = loader.get_single_data()
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise DefinitionError(f"not UTF-8 at byte {error.start}", file=str(path)) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 0
        raise DefinitionError(
            str(error.problem or error.context or "not YAML"),
            file=str(path),
            line=line,
            column=mark.column + 1 if mark else 0,
            text=_line(text, line),
            help="check the indentation and quoting of this line",
        ) from error
    except yaml.YAMLError as error:
        raise DefinitionError(f"not YAML: {error}", file=str(path)) from error
    return _Reader(str(path), text).definitions(tree)


def _plain_loader() -> Any:
    import yaml

    class Plain(yaml.SafeLoader):
        """No aliases: they make a small file into a large tree."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                event = self.peek_event()  # type: ignore[no-untyped-call]
                raise yaml.MarkedYAMLError(
                    problem="aliases are not allowed here", problem_mark=event.start_mark
                )
            return super().compose_node(parent, index)

    return Plain


def _PlainLoader(text: str) -> Any:  # noqa: N802  made late, so that YAML is imported late
    return _plain_loader()(text)


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number - 1][:200] if 0 < number <= len(lines) else ""


@dataclass(slots=True)
class _Reader:
    file: str
    text: str

    def fail(self, message: str, near: str, help: str = "") -> DefinitionError:
        pattern = re.compile(rf"(?<![\w-]){re.escape(near)}(?![\w-])")
        for number, line in enumerate(self.text.splitlines(), 1):
            found = pattern.search(line)
            if found:
                return DefinitionError(
                    message, file=self.file, line=number, column=found.start() + 1, text=line[:200], help=help
                )
        return DefinitionError(message, file=self.file, help=help)

    def definitions(self, tree: object) -> tuple[Definition, ...]:
        if not isinstance(tree, Mapping) or not isinstance(tree.get("flows"), Mapping):
            raise DefinitionError(
                "no flow is defined",
                file=self.file,
                help="begin with 'flows:' and one entry for each flow type",
            )
        for name in tree:
            if name != "flows":
                raise self.fail(f"unknown entry {name!r}", str(name), "only 'flows' stands at the top")
        found = tuple(self.definition(str(name), body) for name, body in tree["flows"].items())
        starts: dict[str, str] = {}
        for definition in found:
            for event in definition.start:
                if event in starts:
                    raise self.fail(
                        f"{definition.name} and {starts[event]} both start with {event}",
                        definition.name,
                        "a start event belongs to one flow type",
                    )
                starts[event] = definition.name
        return found

    def definition(self, name: str, body: object) -> Definition:
        if not isinstance(body, Mapping):
            raise self.fail(f"{name} is not a mapping", name, "give it at least 'start'")
        known = {"start", "steps", "ends", "limit", "reuse", "keys"}
        for key in body:
            if key not in known:
                raise self.fail(
                    f"{name}: unknown entry {key!r}", str(key), f"known are {', '.join(sorted(known))}"
                )
        if not body.get("start"):
            raise self.fail(
                f"{name} has no start", name, "name the event that starts it: 'start: OrderPlaced'"
            )
        ends = body.get("ends") or {}
        if not isinstance(ends, Mapping):
            raise self.fail(f"{name}: ends is not a mapping", "ends", f"give events under {', '.join(ENDS)}")
        pairs: list[tuple[str, str]] = []
        for outcome, events in ends.items():
            if outcome not in ENDS:
                raise self.fail(
                    f"{name}: unknown end {outcome!r}", str(outcome), f"known are {', '.join(ENDS)}"
                )
            pairs.extend((event, str(outcome)) for event in self.events(events, name))
        repeated = {event for event, _ in pairs if sum(event == other for other, _ in pairs) > 1}
        if repeated:
            event = min(repeated)
            raise self.fail(f"{name}: {event} ends it in two ways", event, "an end event has one meaning")
        return Definition(
            name=name,
            start=self.events(body["start"], name),
            steps=tuple(self.step(step, name) for step in body.get("steps") or ()),
            ends=tuple(pairs),
            limit_us=self.limit(body.get("limit"), name),
            reuse=bool(body.get("reuse", False)),
            keys=self.events(body.get("keys") or [], name),
        )

    def events(self, value: object, near: str) -> tuple[str, ...]:
        items = value if isinstance(value, list) else [value]
        for item in items:
            if not isinstance(item, str) or not item:
                raise self.fail(
                    f"{near}: {item!r} is not an event name", str(item), "quote it if it is a number"
                )
        return tuple(items)

    def step(self, value: object, near: str) -> OwedStep:
        if isinstance(value, str):
            return OwedStep(value)
        if isinstance(value, Mapping) and isinstance(value.get("event"), str):
            for key in value:
                if key not in {"event", "service", "limit"}:
                    raise self.fail(
                        f"{near}: unknown entry {key!r} in a step",
                        str(key),
                        "known are event, service, limit",
                    )
            service = value.get("service")
            return OwedStep(
                str(value["event"]), str(service) if service else None, self.limit(value.get("limit"), near)
            )
        raise self.fail(
            f"{near}: {value!r} is not a step",
            near,
            "write an event name, or {event: Name, service: …, limit: 2m}",
        )

    def limit(self, value: object, near: str) -> int | None:
        if value is None:
            return None
        try:
            return duration_us(str(value))
        except ValueError as error:
            raise self.fail(f"{near}: limit {error}", str(value), "write 30s, 5m or 1h30m") from error


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
