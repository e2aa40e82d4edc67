"""YAML read with the place of every value, so that a mistake can be shown where it stands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from clew.collectors.errors import FormatError
from clew.collectors.formats.language import Place

if TYPE_CHECKING:
    from yaml.nodes import Node


@dataclass(frozen=True, slots=True)
class Value:
    """One YAML value: a ``str``, ``int``, ``float``, ``bool``, ``None``, ``list`` or ``dict`` of Values."""

    content: Any
    place: Place
    source: Source

    def fail(self, message: str, help: str = "") -> NoReturn:
        """Raise a FormatError that points here."""
        self.source.fail(message, self.place, help)

    def mapping(self, allowed: Iterable[str] | None = None, *, of: str = "") -> dict[str, Value]:
        """This as a mapping whose keys are all allowed."""
        if not isinstance(self.content, dict):
            self.fail(f"{of or 'this'} must be a mapping (name: value)")
        found: dict[str, Value] = {}
        for key, (place, value) in self.content.items():
            if allowed is not None and key not in allowed:
                names = sorted(allowed)
                near = difflib.get_close_matches(key, names, n=1)
                help = f"did you mean {near[0]}?" if near else f"allowed here: {', '.join(names)}"
                self.source.fail(f"unknown name {key!r}{' in ' + of if of else ''}", place, help)
            found[key] = value
        return found

    def items(self) -> list[Value]:
        """This as a list; a single value is a list of one."""
        if isinstance(self.content, list):
            return list(self.content)
        return [self]

    def text(self) -> str:
        """This as text; numbers and truth values as JSON writes them."""
        if isinstance(self.content, bool):
            return "true" if self.content else "false"
        if isinstance(self.content, (str, int, float)):
            return str(self.content)
        return self.fail("expected text here")

    def texts(self) -> tuple[str, ...]:
        """This as one or more texts."""
        return tuple(item.text() for item in self.items())

    def number(self) -> int:
        """This as a whole number."""
        if isinstance(self.content, bool) or not isinstance(self.content, int):
            self.fail("expected a whole number here")
        return self.content

    def flag(self) -> bool:
        """This as true or false."""
        if not isinstance(self.content, bool):
            self.fail("expected true or false here")
        return self.content

    def plain(self) -> Any:
        """This without places, as YAML reads it."""
        if isinstance(self.content, dict):
            return {key: value.plain() for key, (_, value) in self.content.items()}
        if isinstance(self.content, list):
            return [item.plain() for item in self.content]
        return self.content


@dataclass(frozen=True, slots=True)
class Source:
    """A format file's name and text."""

    file: str
    lines: tuple[str, ...]

    def fail(self, message: str, place: Place, help: str = "") -> NoReturn:
        """Raise a FormatError for a place in this file."""
        text = self.lines[place.line - 1] if 0 < place.line <= len(self.lines) else ""
        raise FormatError(
            message, file=self.file, line=place.line, column=place.column, text=text, help=help
        ) from None


def read_yaml(text: str, file: str) -> Value:
    """Parse YAML text.

    Raises:
        FormatError: it is not YAML, a key is given twice, or it is empty.
    """
    import yaml

    source = Source(file, tuple(text.splitlines()))
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if node is None:
            source.fail("the file is empty", Place(1, 1), "start with 'format: NAME'")
        return _value(node, loader, source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        source.fail(
            f"not YAML: {error.problem or error.context}", place, "quote text that holds : # { [ or *"
        )
    except yaml.YAMLError as error:
        source.fail(f"not YAML: {error}", Place(1, 1), "the file must be UTF-8 text")
    finally:
        loader.dispose()


def _value(node: Node, loader: Any, source: Source) -> Value:
    import yaml

    place = Place(node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        content: dict[str, tuple[Place, Value]] = {}
        for key_node, value_node in node.value:
            at = Place(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            key = str(key_node.value)
            if key in content:
                source.fail(f"{key!r} is given twice", at, "keep one of them")
            content[key] = (at, _value(value_node, loader, source))
        return Value(content, place, source)
    if isinstance(node, yaml.SequenceNode):
        return Value([_value(item, loader, source) for item in node.value], place, source)
    return Value(_scalar(node, loader), place, source)


def _scalar(node: Node, loader: Any) -> Any:
    # YAML 1.1 reads unquoted times as datetimes; a sample's must stay as written.
    if node.tag == "tag:yaml.org,2002:timestamp":
        return str(node.value)
    return loader.construct_object(node)


def plain_mapping(value: Value) -> Mapping[str, Any]:
    """A mapping without places."""
    plain = value.plain()
    if not isinstance(plain, dict):
        value.fail("expected a mapping (name: value)")
    return plain
