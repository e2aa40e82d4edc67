"""Finds the format of an input by its content."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from clew.collectors.errors import UnknownFormat
from clew.collectors.formats.language import Format, Recognise, Shape
from clew.collectors.formats.paths import Steps, alternatives
from clew.collectors.formats.texts import csv_header

_ANSI = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")
_PAIR = re.compile(r'(?:^|\s)[\w.@/-]+=(?:"(?:[^"\\]|\\.)*"|[^\s"]*)')


_MOST = 0.5
_SOME = 0.1
"""Of a text format whose records go on over several lines, fewer lines match its pattern."""


def best(formats: Sequence[Format], sample: Sequence[str]) -> Format:
    """The highest-ranking format that fits most of the sample, else any of it.

    Raises:
        UnknownFormat: none fits.
    """
    units = [unit for unit in sample if unit.strip()]
    objects, elements = objects_in(units), _elements_in(units)
    scored: list[tuple[bool, int, float, Format]] = []
    for one in formats:
        # Of arrays, only what makes rows of them can be read.
        found = [*objects, *elements] if one.rows else objects
        share, enough, least = _share(one, units, found) if units else (0.0, 1.0, 1.0)
        if share > least:
            scored.append((share >= enough, one.recognise.rank, share, one))
    if not scored:
        raise UnknownFormat(
            "nothing here is recognised",
            help="clew formats lists the formats; --format names one or a file of yours",
        )
    return max(scored, key=lambda entry: entry[:3])[3]


def _share(
    one: Format, units: Sequence[str], objects: Sequence[dict[str, Any]]
) -> tuple[float, float, float]:
    """(the part of the sample that a format fits, what is enough, what is too little in any case)."""
    match one.shape:
        case Shape.JSON:
            # Broken lines count for no format, and text between the objects for none of JSON.
            known = sum(fits(one.recognise, unit) for unit in objects)
            mostly = len(objects) * 2 >= len(units)
            return known / (max(len(objects), 1) if mostly else 2 * len(units)), _MOST, 0.0
        case Shape.TEXT:
            # RE2 reads them: its classes are ASCII's.
            patterns = [re.compile(f"(?s)(?:{pattern})\\Z", re.ASCII) for pattern in one.patterns]
            hits = [
                any(_says(one.recognise, pattern.match(_plain(unit))) for pattern in patterns)
                for unit in units
            ]
            # A record's first line may be followed by any number of others.
            begins = one.multiline is not None and any(hits[:1])
            return (
                sum(hits) / len(units),
                0.0 if begins else _SOME if one.multiline else _MOST,
                0.0 if begins else _SOME,
            )
        case Shape.LOGFMT:
            count = sum(len(_PAIR.findall(unit)) > 1 and not unit.lstrip().startswith("{") for unit in units)
            return count / len(units), _MOST, _MOST
        case Shape.CSV:
            names = csv_header(units, one.delimiter)
            columns, by = {*(names or ())}, one.recognise
            known = columns.issuperset(by.all) and (not by.any or not columns.isdisjoint(by.any))
            return (1.0 if names and known else 0.0), _MOST, _MOST


def _says(recognise: Recognise, match: re.Match[str] | None) -> bool:
    """Whether a line matched, and its groups what they must."""
    return match is not None and all(
        re.search(pattern, match.groupdict().get(group) or "") for group, pattern in recognise.where.items()
    )


def _plain(unit: str) -> str:
    return _ANSI.sub("", unit.rstrip("\r\n"))


def fits(recognise: Recognise, unit: dict[str, Any]) -> bool:
    """Whether a JSON object is one of the format's."""
    return any(_fits(rule, unit) for rule in (recognise, *recognise.others))


def _fits(recognise: Recognise, unit: dict[str, Any]) -> bool:
    return (
        all(_text(unit, path) is not None for path in recognise.all)
        and (not recognise.any or any(_text(unit, path) is not None for path in recognise.any))
        and not any(_text(unit, path) is not None for path in recognise.none)
        and all(_matches(unit, *one) for one in recognise.where.items())
    )


def _matches(unit: dict[str, Any], path: str, pattern: str) -> bool:
    text = _text(unit, path)
    return text is not None and re.search(pattern, text) is not None


def _text(unit: Any, path: str) -> str | None:
    for steps in alternatives(path):
        found = _at(unit, steps)
        if found is not None:
            return found if isinstance(found, str) else json.dumps(found)
    return None


def _at(unit: Any, steps: Steps) -> Any:
    for step in steps:
        if isinstance(step, int):
            unit = unit[step] if isinstance(unit, list) and step < len(unit) else None
        else:
            unit = unit.get(step) if isinstance(unit, dict) else None
    return unit


def objects_in(sample: Sequence[str]) -> list[dict[str, Any]]:
    """The sampled units that are JSON objects."""
    return [value for value in _values(sample, "{") if isinstance(value, dict)]


def _elements_in(sample: Sequence[str]) -> list[dict[str, Any]]:
    """The first object of each sampled unit that is an array of them."""
    return [value[0] for value in _values(sample, "[") if value and isinstance(value[0], dict)]


def _values(sample: Sequence[str], start: str) -> Iterator[Any]:
    for unit in sample:
        if unit.lstrip().startswith(start):
            try:
                yield json.loads(unit)
            except (ValueError, RecursionError):
                continue
