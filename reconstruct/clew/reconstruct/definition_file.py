"""A definitions file as text, as a tree of YAML nodes, and as the place at which mistakes are pointed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clew.reconstruct.errors import DefinitionError

if TYPE_CHECKING:
    from yaml.nodes import Node

LARGEST = 1_000_000
"""Bytes of a definitions file; more is a mistake."""
SHOWN = 200
"""Characters of an offending line that are shown."""
LONGEST_NAME = 60
"""Characters of a name that a message gives."""
LONGEST = 600
"""Characters of a message."""
PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)


@dataclass(frozen=True, slots=True)
class Place:
    """A file and its text, in which mistakes are pointed at."""

    file: str
    text: str

    def error(self, message: str, *, line: int, column: int = 1, help: str = "") -> DefinitionError:
        """A mistake at a line and column, which count from 1."""
        lines = self.text.splitlines()
        return DefinitionError(
            _bounded(message),
            file=self.file,
            line=line,
            column=column,
            text=lines[line - 1][:SHOWN] if 0 < line <= len(lines) else "",
            help=_bounded(help),
        )

    def at(self, node: Node, message: str, help: str = "") -> DefinitionError:
        """A mistake where ``node`` begins."""
        mark = node.start_mark
        return self.error(message, line=mark.line + 1, column=mark.column + 1, help=help)


def _bounded(told: str) -> str:
    """A message whose names are no longer than a line, and which is no longer than a paragraph."""
    return re.sub(rf"([^\s,]{{{LONGEST_NAME}}})[^\s,]+", r"\1…", told)[:LONGEST]


def text(path: Path) -> str:
    """A definitions file's text.

    Raises:
        DefinitionError: not readable, too large, or not UTF-8.
    """
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
        begin = raw.rfind(b"\n", 0, error.start) + 1
        before = raw[begin : error.start].decode("utf-8-sig")
        shown = Place(str(path), before + raw[error.start : error.end].decode("utf-8", "backslashreplace"))
        raise DefinitionError(
            f"not UTF-8 at byte {error.start + 1}",
            file=shown.file,
            line=raw.count(b"\n", 0, error.start) + 1,
            column=len(before) + 1,
            text=shown.text[len(before) :],
            help="save the file as UTF-8",
        ) from error


def root(place: Place) -> Node | None:
    """The file's tree of nodes; None for an empty file.

    Raises:
        DefinitionError: not YAML, or with aliases (which make a small file into a large tree) or tags.
    """
    import yaml

    class Plain(yaml.SafeLoader):
        """No aliases and no tags."""

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
        raise _not_yaml(place, error) from error
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
            "nested too deeply", line=1, help="a definition is a few levels deep: flows, a type, its steps"
        ) from error


def _not_yaml(place: Place, error: Exception) -> DefinitionError:
    """What YAML's own error says, where something was opened, as far as that is known."""
    context, problem = getattr(error, "context", None), getattr(error, "problem", None)
    told = ", ".join(said for said in (context, problem) if said)
    # Where something was opened and never closed, the end of the file tells nothing.
    unclosed = "end of stream" in told
    opened, met = getattr(error, "context_mark", None), getattr(error, "problem_mark", None)
    mark = (opened if unclosed else met) or met
    return place.error(
        f"not YAML: {told}",
        line=mark.line + 1 if mark else 1,
        column=mark.column + 1 if mark else 1,
        help="close what is open there" if unclosed else "check the indentation and quoting of this line",
    )
