"""Reads format files and says exactly what is wrong with one."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

from clew.collectors.errors import FormatError
from clew.collectors.formats.language import (
    Convert,
    Field,
    Format,
    Inside,
    Multiline,
    Recognise,
    Row,
    Sample,
    Shape,
)
from clew.collectors.formats.nodes import Value, plain_mapping, read_yaml
from clew.collectors.record import RECORD_COLUMNS, Kind

_TOP = (
    "format", "title", "description", "shape", "kind", "recognise", "rows", "record", "vocabulary", "flat",
    "patterns", "delimiter", "multiline", "inside", "samples",
)  # fmt: skip
_FIELD = ("path", "value", "sql", "first", "as", "formats", "match", "map", "claims")
_SAMPLES = re.compile(r"^samples:", re.MULTILINE)


def read_format(text: str, file: str) -> Format:
    """A format from its YAML text.

    Raises:
        FormatError: anything is wrong with it, with the place.
    """
    root = read_yaml(text, file)
    top = root.mapping(_TOP, of="a format")
    for needed in ("format", "shape"):
        if needed not in top:
            root.fail(f"{needed!r} is missing", f"add a line '{needed}: …'")
    shape = _choice(top["shape"], Shape)
    name = top["format"].text()
    result = Format(
        name=name,
        title=top["title"].text() if "title" in top else name,
        description=top["description"].text() if "description" in top else "",
        shape=shape,
        file=file,
        kind=_choice(top["kind"], Kind) if "kind" in top else "log",
        recognise=_recognise(top["recognise"]) if "recognise" in top else Recognise(),
        rows=tuple(_row(item) for item in top["rows"].items()) if "rows" in top else (),
        record=_record(top["record"]) if "record" in top else {},
        vocabulary=_vocabulary(top.get("vocabulary")),
        flat=top["flat"].text() if "flat" in top else None,
        patterns=tuple(_regex(item) for item in top["patterns"].items()) if "patterns" in top else (),
        delimiter=top["delimiter"].text() if "delimiter" in top else ",",
        multiline=_multiline(top["multiline"]) if "multiline" in top else None,
        inside=_inside(top["inside"]) if "inside" in top else None,
        samples=tuple(_sample(item) for item in top["samples"].items()) if "samples" in top else (),
    )
    if shape is Shape.TEXT:
        if not result.patterns:
            root.fail("a text format needs 'patterns'", "give regular expressions with (?P<name>…) groups")
        _check_groups(result, top)
    return result


def _check_groups(format: Format, top: dict[str, Value]) -> None:
    """A text format's paths are the groups of its patterns."""
    groups = {name for pattern in format.patterns for name in re.compile(pattern).groupindex}
    if format.inside and format.inside.path not in groups:
        top["inside"].fail(
            f"no pattern has a group {format.inside.path!r}", f"groups: {', '.join(sorted(groups))}"
        )
    for column, field in format.record.items():
        for path in field.paths:
            if path.partition("/")[0] not in groups:
                near = difflib.get_close_matches(path, groups, n=1)
                help = f"did you mean {near[0]}?" if near else f"groups: {', '.join(sorted(groups))}"
                top["record"].source.fail(f"no pattern has a group {path!r} for {column}", field.place, help)


_E = TypeVar("_E", bound=StrEnum)


def _choice(value: Value, of: type[_E]) -> _E:
    text = value.text()
    try:
        return of(text)
    except ValueError:
        names = [str(member) for member in of]
        near = difflib.get_close_matches(text, names, n=1)
        value.fail(
            f"{text!r} is no {'conversion' if issubclass(of, Convert) else of.__name__.lower()}",
            f"did you mean {near[0]}?" if near else f"one of: {', '.join(names)}",
        )


def _recognise(value: Value) -> Recognise:
    first, *others = [_rule(item) for item in value.items()] or [Recognise()]
    return replace(first, others=tuple(others))


def _rule(value: Value) -> Recognise:
    found = value.mapping(("all", "any", "none", "where", "rank"), of="recognise")
    where = found["where"].mapping(of="where") if "where" in found else {}
    return Recognise(
        all=found["all"].texts() if "all" in found else (),
        any=found["any"].texts() if "any" in found else (),
        none=found["none"].texts() if "none" in found else (),
        where={path: _regex(pattern) for path, pattern in where.items()},
        rank=found["rank"].number() if "rank" in found else 50,
    )


def _row(value: Value) -> Row:
    found = value.mapping(("each", "as", "let", "optional", "sql", "names"), of="a step of rows")
    let = found["let"].mapping(of="let") if "let" in found else {}
    if not ({"each", "let", "sql"} & found.keys()):
        value.fail("a step of rows needs 'each', 'let' or 'sql'")
    if "each" in found and "as" not in found:
        value.fail("'each' needs 'as': the name under which paths find the element")
    return Row(
        each=found["each"].text() if "each" in found else None,
        name=found["as"].text() if "as" in found else "",
        let={name: expression.text() for name, expression in let.items()},
        optional=found["optional"].flag() if "optional" in found else False,
        sql=found["sql"].text() if "sql" in found else None,
        names=found["names"].texts() if "names" in found else (),
        place=value.place,
    )


def _record(value: Value) -> dict[str, Field]:
    columns = [name for name in RECORD_COLUMNS if name != "position"]
    return {name: _field(field) for name, field in value.mapping((*columns, "reject"), of="record").items()}


def _field(value: Value) -> Field:
    if not isinstance(value.content, dict):
        if isinstance(value.content, list) and any(isinstance(item.content, dict) for item in value.content):
            return Field(first=tuple(_field(item) for item in value.items()), place=value.place)
        return Field(paths=value.texts(), place=value.place)
    found = value.mapping(_FIELD, of="a field")
    ways = [way for way in ("path", "value", "sql", "first") if way in found]
    if len(ways) != 1:
        value.fail(
            "a field needs exactly one of path, value, sql and first"
            + (f", not {' and '.join(ways)}" if ways else "")
        )
    return Field(
        paths=found["path"].texts() if "path" in found else (),
        value=found["value"].text() if "value" in found else None,
        sql=found["sql"].text() if "sql" in found else None,
        first=tuple(_field(item) for item in found["first"].items()) if "first" in found else (),
        convert=_choice(found["as"], Convert) if "as" in found else None,
        time_formats=found["formats"].texts() if "formats" in found else (),
        match=_regex(found["match"]) if "match" in found else None,
        map={key: item.text() for key, item in found["map"].mapping(of="map").items()}
        if "map" in found
        else {},
        claims=found["claims"].texts() if "claims" in found else (),
        place=value.place,
    )


def _vocabulary(value: Value | None) -> tuple[str, ...] | None:
    if value is None or value.content is True:
        return ("",)
    return None if value.content is False else value.texts()


def _regex(value: Value) -> str:
    text = value.text()
    try:
        # DuckDB reads RE2; Python's syntax is close enough to find what is plainly wrong.
        re.compile(text)
    except re.error as error:
        value.fail(f"not a regular expression: {error}", "in YAML, write it in 'single quotes'")
    return text


def _multiline(value: Value) -> Multiline:
    found = value.mapping(("starts", "continues"), of="multiline")
    if len(found) != 1:
        value.fail("multiline needs one of starts and continues")
    return Multiline(**{name: _regex(pattern) for name, pattern in found.items()})


def _inside(value: Value) -> Inside:
    found = value.mapping(("path", "format", "partial", "stream"), of="inside")
    if "path" not in found:
        value.fail("'inside' needs 'path': where the other format's line is")
    return Inside(**{name: item.text() for name, item in found.items()})


def _sample(value: Value) -> Sample:
    found = value.mapping(("line", "record", "reject"), of="a sample")
    if "line" not in found or len({"record", "reject"} & found.keys()) != 1:
        value.fail("a sample needs 'line', and either 'record' or 'reject'")
    records = found["record"].items() if "record" in found else []
    for record in records:
        record.mapping(RECORD_COLUMNS, of="a sample's record")
    return Sample(
        line=found["line"].text(),
        records=tuple(plain_mapping(record) for record in records),
        reject=found["reject"].text() if "reject" in found else None,
        place=value.place,
    )


def load_file(path: Path) -> Format:
    """A person's own format file; its samples are not yet checked.

    Raises:
        FormatError: it cannot be read, or anything is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormatError("not UTF-8 text", file=str(path), help="save it as UTF-8") from error
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", file=str(path)) from error
    return read_format(text, str(path))


@cache
def built_in(*, samples: bool = False) -> tuple[Format, ...]:
    """The formats that come with clew, by name. Without samples they load faster."""
    folder = resources.files("clew.collectors.formats") / "builtin"
    found: list[Format] = []
    for file in folder.iterdir():
        if file.name.endswith(".yaml"):
            text = file.read_text(encoding="utf-8")
            end = None if samples else _SAMPLES.search(text)
            found.append(read_format(text[: end.start()] if end else text, file.name))
    return tuple(sorted(found, key=lambda one: one.name))
