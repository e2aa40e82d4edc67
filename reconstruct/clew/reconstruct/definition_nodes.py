"""What stands at a node of a definitions file: names, durations, numbers; each mistake with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from clew.reconstruct.definition_file import Place
from clew.reconstruct.definitions import duration_us

STR, INT, FLOAT, BOOL = (f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool"))
MOST_REPEATS = 1_000_000


class Named(NamedTuple):
    """A name and where it stands."""

    text: str
    node: Node


def closest(word: str, known: Iterable[str]) -> str:
    """``did you mean 'limit'? `` where a known word is close; else nothing."""
    found = get_close_matches(word, sorted(known), n=1)
    return f"did you mean {found[0]!r}? " if found else ""


@dataclass(frozen=True, slots=True)
class Nodes:
    """Reads nodes of one file.

    Every method raises DefinitionError with the place of what is wrong; ``what`` says there
    what the node should have been.
    """

    place: Place

    def word(self, node: Node, what: str) -> str:
        """A text that is not empty."""
        if not isinstance(node, ScalarNode):
            kind = "list" if isinstance(node, SequenceNode) else "mapping"
            raise self.place.at(node, f"{what} is not a name but a {kind}", "write one name")
        if node.tag != STR:
            help = "quote it if that is its name" if node.value else "write its name"
            raise self.place.at(node, f"{what} is not a name: {node.value or 'nothing'}", help)
        if not node.value.strip():
            raise self.place.at(node, f"{what} is empty", "write its name")
        if node.value != node.value.strip():
            raise self.place.at(
                node, f"{what} has space around its name: {node.value!r}", "names are compared exactly"
            )
        return str(node.value)

    def names(self, node: Node, what: str) -> tuple[Named, ...]:
        """One name or a list of names, at least one and each once."""
        found: dict[str, Node] = {}
        for one in self._one_or_more(node, what):
            word = self.word(one, what)
            if word in found:
                raise self.place.at(one, f"{what} names {word} twice", "name it once")
            found[word] = one
        return tuple(Named(word, one) for word, one in found.items())

    def versions(self, node: Node, what: str) -> tuple[str, ...]:
        """One version or a list of them; a number is one as it is written."""
        found: list[str] = []
        for one in self._one_or_more(node, what):
            number = isinstance(one, ScalarNode) and one.tag in {INT, FLOAT}
            version = str(one.value) if number else self.word(one, what)
            if version in found:
                raise self.place.at(one, f"{what} names {version} twice", "name it once")
            found.append(version)
        return tuple(found)

    def _one_or_more(self, node: Node, what: str) -> list[Node]:
        nodes = list(node.value) if isinstance(node, SequenceNode) else [node]
        if not nodes:
            raise self.place.at(node, f"{what} names nothing", "name at least one, or leave it out")
        return nodes

    def duration(self, node: Node, what: str) -> int:
        """A duration in microseconds."""
        if not isinstance(node, ScalarNode):
            raise self.place.at(node, f"{what} is not one duration", "write 30s, 5m or 1h30m")
        try:
            return duration_us(str(node.value))
        except ValueError as error:
            raise self.place.at(node, f"{what} {error}", "write 30s, 5m or 1h30m") from error

    def flag(self, node: Node, what: str) -> bool:
        """True or false."""
        if node.tag != BOOL:
            raise self.place.at(node, f"{what} is neither true nor false", "write true or false")
        return str(node.value).lower() in {"true", "yes", "on"}

    def count(self, node: Node, what: str) -> int:
        """A whole number from 1 to a million."""
        written = str(node.value) if isinstance(node, ScalarNode) and node.tag == INT else ""
        if not re.fullmatch(r"[1-9]\d{0,6}", written) or int(written) > MOST_REPEATS:
            raise self.place.at(
                node, f"{what} is no number from 1 to {MOST_REPEATS:,}", "write how many, such as 3"
            )
        return int(written)

    def items(self, node: Node, what: str, least: int = 0, help: str = "") -> Iterator[Node]:
        """The items of a list, at least ``least``."""
        if not isinstance(node, SequenceNode):
            raise self.place.at(node, f"{what} is not a list", "write one item a line, each after '- '")
        if len(node.value) < least:
            few = f"has only {len(node.value)}" if node.value else "is empty"
            raise self.place.at(node, f"{what} {few}", help)
        yield from node.value

    def entries(self, node: Node, what: str, known: set[str] | None, help: str) -> dict[str, Node]:
        """The entries of a mapping by name; each known one once."""
        return {named.text: value for named, value in self.pairs(node, what, known, help)}

    def pairs(
        self, node: Node, what: str, known: set[str] | None, help: str
    ) -> tuple[tuple[Named, Node], ...]:
        """The entries of a mapping with the places of their names."""
        if not isinstance(node, MappingNode):
            raise self.place.at(node, f"{what} is not a mapping", help)
        found: dict[str, tuple[Named, Node]] = {}
        for key, value in node.value:
            name = self.word(key, f"{what}: an entry")
            if known is not None and name not in known:
                raise self.place.at(
                    key,
                    f"{what}: unknown entry {name!r}",
                    f"{closest(name, known)}known are {', '.join(sorted(known))}",
                )
            if name in found:
                raise self.place.at(
                    key, f"{what}: {name} is there twice", "the two cannot both hold: join them"
                )
            found[name] = (Named(name, key), value)
        return tuple(found.values())
