"""Flow definitions as the text of a definitions file, which reads back to equal definitions.

A definition is flat rules; a file nests them. What a step waits for tells how it was nested:
:mod:`clew.reconstruct.definition_rules` hands clauses from item to item, and
:mod:`clew.reconstruct.definition_nesting` finds the items between which they were handed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import yaml

from clew.reconstruct.definition_file import Place, root
from clew.reconstruct.definition_nesting import Nesting
from clew.reconstruct.definitions import UNITS, Definition, Role, Rule
from clew.reconstruct.errors import DefinitionError

ROOM: Final = 110
"""Characters of a line; a step that is longer takes several."""


def written(definitions: Sequence[Definition]) -> str:
    """The text of a definitions file: ``load`` of it gives ``definitions``, in their order.

    Raises:
        ValueError: no file says what one of them says; one that was read from a file can be written.
    """
    body = {"flows": {definition.name: _readable(definition) for definition in definitions}}
    text = as_text(body)
    if not definitions or _read(text) != tuple(definitions):
        raise ValueError("the definitions do not stand together in one file")
    return text


def _readable(definition: Definition) -> dict[str, Any]:
    """The first way to nest its steps that reads back to the same."""
    for steps in _nestings(definition):
        body = _flow(definition, steps)
        if _read(as_text({"flows": {definition.name: body}})) == (definition,):
            return body
    raise ValueError(f"no definitions file says what {definition.name} says")


def _nestings(definition: Definition) -> Iterator[list[Any]]:
    for beside in (False, True):
        for single in (True, False):
            nesting = Nesting(definition, beside=beside, single_is_optional=single, step=_step)
            yield from nesting.found()


def _flow(definition: Definition, steps: list[Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"start": _one_or_more(definition.start)}
    if steps:
        body["steps"] = steps
    ends: dict[str, list[str]] = {}
    for event, outcome in definition.ends:
        ends.setdefault(outcome, []).append(event)
    if ends:
        body["ends"] = {outcome: _one_or_more(events) for outcome, events in ends.items()}
    undone = _compensations(definition)
    if undone:
        body["compensations"] = undone
    if definition.limit_us is not None:
        body["limit"] = duration(definition.limit_us)
    if definition.reuse:
        body["reuse"] = True
    if definition.keys:
        body["keys"] = list(definition.keys)
    return body


def _compensations(definition: Definition) -> dict[str, Any]:
    """Event that undoes → the names of what it undoes."""
    first = {rule.number: rule.events[0] for rule in definition.rules}
    found: dict[str, list[str]] = {}
    # An undoing that stands among the compensations only is numbered in their order.
    for rule in sorted(definition.rules, key=lambda rule: rule.role is not Role.UNDO):
        if rule.undoes:
            names = found.setdefault(rule.events[0], [])
            names.extend(name for number in rule.undoes if (name := first[number]) not in names)
    return {undo: _one_or_more(names) for undo, names in found.items()}


def _step(rule: Rule, after: Sequence[str] | None, *, optional: bool) -> Any:
    """A step as an item of a list: its name alone where nothing else is asked of it."""
    told: dict[str, Any] = {"event": _one_or_more(rule.events)}
    if rule.service is not None:
        told["service"] = rule.service
    if rule.versions:
        told["versions"] = list(rule.versions)
    if optional:
        told["optional"] = True
    if rule.limit_us is not None:
        told["limit"] = duration(rule.limit_us)
    if rule.at_least > 1 or rule.at_most is not None:
        told["repeats"] = _repeats(rule)
    if after is not None:
        told["after"] = _one_or_more(after)
    return told["event"] if len(told) == 1 and len(rule.events) == 1 else told


def _repeats(rule: Rule) -> Any:
    if rule.at_least == rule.at_most:
        return rule.at_least
    told = {"at_least": rule.at_least, "at_most": rule.at_most}
    return {name: number for name, number in told.items() if number is not None}


def _one_or_more(names: Sequence[str]) -> Any:
    return names[0] if len(names) == 1 else list(names)


def duration(us: int) -> str:
    """``5m``, ``1h30m``, ``1s500ms``: as :func:`clew.reconstruct.definitions.duration_us` reads it."""
    told = ""
    for unit, size in sorted(UNITS.items(), key=lambda one: -one[1]):
        number, us = divmod(us, size)
        told += f"{number}{unit}" if number else ""
    return told


def _read(text: str) -> tuple[Definition, ...] | None:
    from clew.reconstruct.definition_reader import Reader

    place = Place("", text)
    try:
        return Reader(place).definitions(root(place))
    except DefinitionError:
        return None


class _Writer(yaml.SafeDumper):
    """Lists in lines; steps, names and short mappings in one line each."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  the same list twice is written twice
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002
        """Indent a list below its name."""
        super().increase_indent(flow=flow, indentless=False)

    def represent_plain(self, data: Any) -> yaml.Node:
        """A list or mapping; in one line where it holds names only and fits."""
        if isinstance(data, dict):
            return self.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=_in_line(data))
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=_in_line(data))


_Writer.add_representer(dict, _Writer.represent_plain)
_Writer.add_representer(list, _Writer.represent_plain)


def _in_line(data: Any) -> bool:
    if not isinstance(data, dict):
        return all(isinstance(one, str | int) for one in data) and len(str(data)) < ROOM
    if "event" in data:
        return len(str(data)) < ROOM
    return not data.keys() & {"flows", "start", "all", "one_of", "any", "optional"} and all(
        isinstance(one, str | int) for one in data.values()
    )


def as_text(body: Any) -> str:
    """What a definitions file holds, as mappings, lists and names, as text that a person would write."""
    text: str = yaml.dump(body, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=10_000)
    if not text.replace("\n", "").isprintable():
        # What no terminal should show as it is stands escaped.
        text = yaml.dump(body, Dumper=_Writer, sort_keys=False, allow_unicode=False, width=10_000)
    return text
