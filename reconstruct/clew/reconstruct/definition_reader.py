"""From the nodes of a definitions file to definitions; every mistake is told with its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from clew.reconstruct.definition_nodes import INT, Named, Nodes
from clew.reconstruct.definition_rules import compiled
from clew.reconstruct.definition_tree import All, AnyOf, Flow, Item, Maybe, OneOf, Sequence, Step, steps_of
from clew.reconstruct.definitions import ENDS, Definition

T = TypeVar("T")
Default = TypeVar("Default")
FLOW: Final = {"start", "steps", "ends", "compensations", "limit", "reuse", "keys"}
STEP: Final = {"event", "service", "versions", "optional", "limit", "repeats", "after"}
OF_A_QUORUM: Final = STEP - {"optional", "after"}
GROUPS: Final = {"all": "all", "one_of": "one_of", "any": "any", "of": "any", "optional": "optional"}
"""Entry → the group that it belongs to. ``optional`` is a step's flag, too."""
DEEPEST: Final = 20
"""How deep groups may lie in each other."""
MOST_STEPS: Final = 500
MOST_CLAUSES: Final = 100_000
"""Of one file, so that a small file does not become a large store."""
SHORT: Final = "write an event's name, or {event: Name, limit: 2m}"


@dataclass(frozen=True, slots=True)
class Reader(Nodes):
    """Reads the flow definitions of one file."""

    def definitions(self, root: Node | None) -> tuple[Definition, ...]:
        """Every definition of the file, in its order.

        Raises:
            DefinitionError: with file, line, the offending text and help.
        """
        begin = "begin with 'flows:' and one entry for each flow type"
        if root is None:
            raise self.place.error("the file is empty", line=1, help=begin)
        top = self.entries(root, "the file", {"flows"}, begin)
        if "flows" not in top:
            raise self.place.at(root, "no flow is defined", begin)
        flows = self.pairs(top["flows"], "flows", None, "give each flow type an entry with its name")
        if not flows:
            raise self.place.at(top["flows"], "flows defines no flow type", begin)
        starts: dict[str, str] = {}
        found: list[Definition] = []
        left = MOST_CLAUSES
        for name, body in flows:
            flow = self.flow(name.text, body)
            self._alone(flow, starts)
            found.append(compiled(flow, self.place))
            left -= sum(len(clause.rules) for rule in found[-1].rules for clause in rule.after)
            if left < 0:
                raise self.place.at(
                    name.node,
                    f"up to {name.text}, steps wait for others in more than {MOST_CLAUSES:,} ways",
                    "split the file, or let a single step stand between two wide groups",
                )
        return tuple(found)

    def _alone(self, flow: Flow, starts: dict[str, str]) -> None:
        """No other flow type starts with the same event."""
        for event in flow.start:
            if event.text in starts:
                raise self.place.at(
                    event.node,
                    f"{flow.name} and {starts[event.text]} both start with {event.text}",
                    "a start event belongs to one flow type",
                )
            starts[event.text] = flow.name

    def flow(self, name: str, body: Node) -> Flow:
        """One flow type."""
        told = self.entries(body, name, FLOW, "give it at least 'start'")
        if "start" not in told:
            raise self.place.at(
                body, f"{name} has no start", "name the event that starts it: 'start: OrderPlaced'"
            )
        row = self.row(told["steps"], name, "steps", 0) if "steps" in told else Sequence(body, ())
        flow = Flow(
            name=name,
            node=body,
            start=self.names(told["start"], f"{name}: start"),
            steps=row,
            ends=self.ends(told["ends"], name) if "ends" in told else (),
            compensations=self.compensations(told["compensations"], name) if "compensations" in told else (),
            limit_us=_read(told, "limit", self.duration, name, None),
            reuse=_read(told, "reuse", self.flag, name, absent=False),
            keys=tuple(key.text for key in _read(told, "keys", self.names, name, ())),
        )
        if flow.reuse and not flow.ends:
            raise self.place.at(
                told["reuse"],
                f"{name} is reused and has no end",
                "another run begins with a start after an end: name the ends",
            )
        if sum(1 for _ in steps_of(row)) > MOST_STEPS:
            raise self.place.at(
                told["steps"], f"{name} has more than {MOST_STEPS} steps", "split it into several flow types"
            )
        for step in steps_of(row):
            if step.limit_at and flow.limit_us and (step.limit_us or 0) > flow.limit_us:
                raise self.place.at(
                    step.limit_at,
                    f"{name}: the limit of {step.name} is longer than the whole's",
                    "the whole's limit counts from the start: raise it, or leave this one out",
                )
        return flow

    def ends(self, node: Node, name: str) -> tuple[tuple[Named, str], ...]:
        """(event, outcome) pairs; no event has two outcomes."""
        outcomes: dict[str, tuple[Named, str]] = {}
        told = self.entries(
            node, f"{name}: ends", set(ENDS), f"give events under {', '.join(ENDS)}: 'completed: [OrderDone]'"
        )
        for outcome, events in told.items():
            for event in self.names(events, f"{name}: {outcome}"):
                if event.text in outcomes:
                    raise self.place.at(
                        event.node,
                        f"{name}: {event.text} ends it in two ways",
                        "an end event has one meaning",
                    )
                outcomes[event.text] = (event, outcome)
        return tuple(outcomes.values())

    def compensations(self, node: Node, name: str) -> tuple[tuple[Named, tuple[Named, ...]], ...]:
        """Which event undoes which steps."""
        help = "write which event undoes which step: {PaymentRefunded: PaymentSucceeded}"
        pairs = self.pairs(node, f"{name}: compensations", None, help)
        if len(pairs) > MOST_STEPS:
            raise self.place.at(
                node, f"{name} has more than {MOST_STEPS} compensations", "split it into several flow types"
            )
        return tuple((undo, self.names(undone, f"{name}: what {undo.text} undoes")) for undo, undone in pairs)

    def row(self, node: Node, name: str, what: str, least: int, deep: int = 0) -> Sequence:
        """A list of steps and groups, one after the other."""
        nodes = self.items(node, f"{name}: {what}", least, "name its steps, or leave it out")
        return Sequence(node, tuple(self.item(one, name, deep) for one in nodes))

    def lane(self, node: Node, name: str, key: str, deep: int) -> Sequence:
        """A branch or lane: a list of steps and groups, or a single one."""
        if isinstance(node, SequenceNode):
            return self.row(node, name, f"a branch of {key}", 1, deep)
        return Sequence(node, (self.item(node, name, deep),))

    def item(self, node: Node, name: str, deep: int) -> Item:
        """A step or a group."""
        if deep > DEEPEST:
            raise self.place.at(
                node, f"{name}: groups lie more than {DEEPEST} deep in each other", "split it into flow types"
            )
        kind = _group(node)
        if kind is None:
            return self.step(node, name, STEP)
        told = self._group_entries(node, name, kind)
        if kind == "any":
            return self.any_of(node, told, name)
        if kind == "optional":
            return Maybe(node, self.row(told[kind], name, kind, 1, deep + 1))
        only = f"a group has at least two: write the step without '{kind}'"
        lanes = tuple(
            self.lane(one, name, kind, deep + 1) for one in self.items(told[kind], f"{name}: {kind}", 2, only)
        )
        return OneOf(node, lanes) if kind == "one_of" else All(node, lanes)

    def _group_entries(self, node: Node, name: str, kind: str) -> dict[str, Node]:
        pairs = self.pairs(node, f"{name}: {kind}", None, "")
        for key, _ in pairs:
            if key.text == "event" or (key.text in GROUPS and GROUPS[key.text] != kind):
                raise self.place.at(
                    key.node,
                    f"{name}: '{kind}' and '{key.text}' in one item",
                    "give each an item of its own, or put one into the other's list",
                )
            if GROUPS.get(key.text) != kind:
                raise self.place.at(
                    key.node,
                    f"{name}: {kind}: unknown entry {key.text!r}",
                    "service, limit and the like belong to its steps; to leave a group out, write "
                    "'optional: [...]' around it",
                )
        return {key.text: value for key, value in pairs}

    def any_of(self, node: Node, told: dict[str, Node], name: str) -> AnyOf:
        """``any: 2`` and ``of: [...]``."""
        help = "write {any: 2, of: [First, Second, Third]}"
        for key in ("any", "of"):
            if key not in told:
                raise self.place.at(node, f"{name}: any: {key!r} is missing", help)
        nodes = list(self.items(told["of"], f"{name}: of", 2, help))
        asked = told["any"]
        if asked.tag == INT and re.fullmatch(r"-\d+|[-+]?0+", str(asked.value)):
            raise self.place.at(
                asked,
                f"{name}: any asks for {asked.value[:20]} of {len(nodes)}: what follows would wait for nothing",
                "ask for one at least; steps that nothing waits for stand in 'optional: [...]'",
            )
        needs = self.count(asked, f"{name}: any")
        for one in nodes:
            if isinstance(one, SequenceNode) or _group(one):
                raise self.place.at(one, f"{name}: of holds something else than a step", help)
        if needs > len(nodes):
            raise self.place.at(
                told["any"],
                f"{name}: any asks for {needs} of {len(nodes)}",
                "ask for at most as many as there are",
            )
        return AnyOf(node, needs, tuple(self.step(one, name, OF_A_QUORUM) for one in nodes))

    def step(self, node: Node, name: str, known: set[str]) -> Step:
        """An event's name, or a mapping with what is asked of it."""
        if isinstance(node, SequenceNode):
            raise self.place.at(
                node,
                f"{name}: a step is not a name but a list",
                "write 'all: [...]' for any order, 'one_of: [...]' for a choice; a list is a sequence already",
            )
        if isinstance(node, ScalarNode):
            return Step(node, (Named(self.word(node, f"{name}: a step"), node),))
        told = self.entries(node, f"{name}: a step", known, SHORT)
        if "event" not in told:
            raise self.place.at(node, f"{name}: a step has no event", SHORT)
        events = self.names(told["event"], f"{name}: a step's event")
        what = f"{name}: {events[0].text}"
        at_least, at_most = _read(told, "repeats", self.repeats, what, (1, None))
        return Step(
            node=node,
            events=events,
            service=_read(told, "service", self.word, what, None),
            versions=_read(told, "versions", self.versions, what, ()),
            optional=_read(told, "optional", self.flag, what, absent=False),
            limit_us=_read(told, "limit", self.duration, what, None),
            limit_at=told.get("limit"),
            at_least=at_least,
            at_most=at_most,
            after=_read(told, "after", self.names, what, None),
        )

    def repeats(self, node: Node, what: str) -> tuple[int, int | None]:
        """How often: ``3``, or ``{at_least: 1, at_most: 5}``."""
        if node.tag == INT:
            exactly = self.count(node, what)
            return exactly, exactly
        help = "write 3, or {at_least: 1, at_most: 5}"
        if isinstance(node, ScalarNode):
            raise self.place.at(node, f"{what} is no number: {node.value or 'nothing'}", help)
        told = self.entries(node, what, {"at_least", "at_most"}, help)
        if not told:
            raise self.place.at(node, f"{what} says nothing", help)
        at_least = _read(told, "at_least", self.count, what, 1)
        at_most = _read(told, "at_most", self.count, what, None)
        if at_most is not None and at_most < at_least:
            raise self.place.at(
                told["at_most"], f"{what}: at_most {at_most} is less than at_least {at_least}", help
            )
        return at_least, at_most


def _group(node: Node) -> str | None:
    """What group a node is by its entries; None for a step."""
    pairs = node.value if isinstance(node, MappingNode) else []
    keys = {key.value for key, _ in pairs if isinstance(key, ScalarNode)}
    for key, kind in GROUPS.items():
        if key in keys and (key != "optional" or not keys & (STEP - {"optional"})):
            return kind
    return None


def _read(
    told: dict[str, Node], key: str, read: Callable[[Node, str], T], what: str, absent: Default
) -> T | Default:
    return read(told[key], f"{what}: {key}") if key in told else absent
