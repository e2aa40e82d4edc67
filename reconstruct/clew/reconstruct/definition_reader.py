"""From the nodes of a definitions file to definitions; every mistake is told with its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from clew.reconstruct.definitions import ENDS, Definition, OwedStep, duration_us
from clew.reconstruct.errors import DefinitionError

SHOWN = 200
"""Characters of an offending line that are shown."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file and its text, in which mistakes are pointed at."""

    file: str
    text: str

    def error(self, message: str, *, line: int, column: int = 1, help: str = "") -> DefinitionError:
        """A mistake at a line and column, which count from 1."""
        lines = self.text.splitlines()
        return DefinitionError(
            message,
            file=self.file,
            line=line,
            column=column,
            text=lines[line - 1][:SHOWN] if 0 < line <= len(lines) else "",
            help=help,
        )

    def at(self, node: Node, message: str, help: str = "") -> DefinitionError:
        """A mistake where ``node`` begins."""
        mark = node.start_mark
        return self.error(message, line=mark.line + 1, column=mark.column + 1, help=help)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the flow definitions of one file."""

    place: Place

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
        names = self.entries(top["flows"], "flows", None, "give each flow type an entry with its name")
        if not names:
            raise self.place.at(top["flows"], "flows defines no flow type", begin)
        starts: dict[str, str] = {}
        found = []
        for name, body in names.items():
            definition = self.definition(name, body)
            for event in definition.start:
                if event in starts:
                    raise self.place.at(
                        body,
                        f"{name} and {starts[event]} both start with {event}",
                        "a start event belongs to one flow type",
                    )
                starts[event] = name
            found.append(definition)
        return tuple(found)

    def definition(self, name: str, body: Node) -> Definition:
        """One flow type."""
        known = {"start", "steps", "ends", "limit", "reuse", "keys"}
        told = self.entries(body, name, known, "give it at least 'start'")
        if "start" not in told:
            raise self.place.at(
                body, f"{name} has no start", "name the event that starts it: 'start: OrderPlaced'"
            )
        definition = Definition(
            name=name,
            start=self.events(told["start"], f"{name}: start"),
            steps=self.steps(told["steps"], name) if "steps" in told else (),
            ends=self.ends(told["ends"], name) if "ends" in told else (),
            limit_us=self.limit(told["limit"], name) if "limit" in told else None,
            reuse=self.flag(told["reuse"], f"{name}: reuse") if "reuse" in told else False,
            keys=self.events(told["keys"], f"{name}: keys") if "keys" in told else (),
        )
        both = sorted(set(definition.start) & {event for event, _ in definition.ends})
        if both:
            raise self.place.at(
                told["ends"], f"{name}: {both[0]} both starts and ends it", "an event is one or the other"
            )
        if definition.reuse and not definition.ends:
            raise self.place.at(
                told["reuse"],
                f"{name} is reused and has no end",
                "another run begins with a start after an end: name the ends",
            )
        return definition

    def steps(self, node: Node, name: str) -> tuple[OwedStep, ...]:
        """The events that a started flow owes."""
        found: list[OwedStep] = []
        for one in self.items(node, f"{name}: steps"):
            step = self.step(one, name)
            if any((step.event, step.service) == (other.event, other.service) for other in found):
                raise self.place.at(one, f"{name}: {step.event} is owed twice", "a step is owed once")
            found.append(step)
        return tuple(found)

    def step(self, node: Node, name: str) -> OwedStep:
        """An event's name, or a mapping with its service and limit."""
        if not isinstance(node, MappingNode):
            return OwedStep(self.word(node, f"{name}: a step"))
        told = self.entries(node, f"{name}: a step", {"event", "service", "limit"}, "")
        if "event" not in told:
            raise self.place.at(node, f"{name}: a step has no event", "write {event: Name, limit: 2m}")
        return OwedStep(
            event=self.word(told["event"], f"{name}: a step's event"),
            service=self.word(told["service"], f"{name}: a step's service") if "service" in told else None,
            limit_us=self.limit(told["limit"], name) if "limit" in told else None,
        )

    def ends(self, node: Node, name: str) -> tuple[tuple[str, str], ...]:
        """(event, outcome) pairs; no event has two outcomes."""
        outcomes: dict[str, str] = {}
        told = self.entries(
            node, f"{name}: ends", set(ENDS), f"give events under {', '.join(ENDS)}: 'completed: [OrderDone]'"
        )
        for outcome, events in told.items():
            for event in self.events(events, f"{name}: {outcome}"):
                if event in outcomes:
                    raise self.place.at(
                        events, f"{name}: {event} ends it in two ways", "an end event has one meaning"
                    )
                outcomes[event] = outcome
        return tuple(outcomes.items())

    def limit(self, node: Node, name: str) -> int:
        """A duration in microseconds."""
        if not isinstance(node, ScalarNode):
            raise self.place.at(node, f"{name}: a limit is one duration", "write 30s, 5m or 1h30m")
        try:
            return duration_us(str(node.value))
        except ValueError as error:
            raise self.place.at(node, f"{name}: limit {error}", "write 30s, 5m or 1h30m") from error

    def flag(self, node: Node, what: str) -> bool:
        """True or false."""
        if node.tag != "tag:yaml.org,2002:bool":
            raise self.place.at(node, f"{what} is neither true nor false", "write true or false")
        return str(node.value).lower() in {"true", "yes", "on"}

    def events(self, node: Node, what: str) -> tuple[str, ...]:
        """One name or a list of names, at least one and each once."""
        nodes = list(node.value) if isinstance(node, SequenceNode) else [node]
        if not nodes:
            raise self.place.at(node, f"{what} names nothing", "name at least one event, or leave it out")
        found: list[str] = []
        for one in nodes:
            word = self.word(one, what)
            if word in found:
                raise self.place.at(one, f"{what} names {word} twice", "name it once")
            found.append(word)
        return tuple(found)

    def word(self, node: Node, what: str) -> str:
        """A text that is not empty."""
        if not isinstance(node, ScalarNode):
            kind = "list" if isinstance(node, SequenceNode) else "mapping"
            raise self.place.at(node, f"{what} is not a name but a {kind}", "write one name")
        if node.tag != "tag:yaml.org,2002:str":
            raise self.place.at(
                node, f"{what} is not a name: {node.value or 'nothing'}", "quote it if that is its name"
            )
        if not node.value.strip():
            raise self.place.at(node, f"{what} is empty", "write its name")
        return str(node.value)

    def items(self, node: Node, what: str) -> Iterator[Node]:
        """The items of a list."""
        if not isinstance(node, SequenceNode):
            raise self.place.at(node, f"{what} is not a list", "write one item a line, each after '- '")
        yield from node.value

    def entries(self, node: Node, what: str, known: set[str] | None, help: str) -> dict[str, Node]:
        """The entries of a mapping by name; each known one once."""
        if not isinstance(node, MappingNode):
            raise self.place.at(node, f"{what} is not a mapping", help)
        found: dict[str, Node] = {}
        for key, value in node.value:
            name = self.word(key, f"{what}: an entry")
            if known is not None and name not in known:
                raise self.place.at(
                    key, f"{what}: unknown entry {name!r}", f"known are {', '.join(sorted(known))}"
                )
            if name in found:
                raise self.place.at(
                    key, f"{what}: {name} is there twice", "the two cannot both hold: join them"
                )
            found[name] = value
        return found
