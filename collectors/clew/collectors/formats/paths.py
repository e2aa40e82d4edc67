"""Paths into a unit of input, and the SQL text of names, literals and JSON paths."""

from __future__ import annotations

import re
from functools import lru_cache

Steps = tuple[str | int, ...]
"""Exact steps into a JSON value: member names and array indices."""

_INDEX = re.compile(r"^(?P<name>[^\[\]]*)(?P<indices>(?:\[\d+\])*)$")


@lru_cache(maxsize=4096)
def alternatives(path: str) -> tuple[Steps, ...]:
    """Where a path as written may lie, in order of preference.

    Dots are tried as part of one name first and as nesting second, because ECS and
    OpenTelemetry names are written both ways: ``trace.id`` is ``{"trace.id": …}`` or
    ``{"trace": {"id": …}}``. A slash only ever nests: ``resource/service.name`` is
    ``{"resource": {"service.name": …}}``, then ``{"resource": {"service": {"name": …}}}``.
    """
    *parents, last = path.split("/")
    before: Steps = tuple(step for part in parents for step in _indexed(part))
    found = [(*before, *_indexed(last))]
    if "." in last.strip("."):
        found.append((*before, *(step for part in last.split(".") for step in _indexed(part))))
    return tuple(found)


def _indexed(part: str) -> Steps:
    match = _INDEX.match(part)
    if match is None or not match["indices"]:
        return (part,)
    return (match["name"], *(int(index) for index in re.findall(r"\d+", match["indices"])))


def quoted(text: str) -> str:
    """Text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def json_path(steps: Steps) -> str:
    """Steps as DuckDB's JSON path, not yet quoted for SQL.

    A name with a double quote cannot be written in that syntax; it matches nothing.
    """
    return "$" + "".join(
        f"[{step}]" if isinstance(step, int) else '."' + step.replace('"', "") + '"' for step in steps
    )
