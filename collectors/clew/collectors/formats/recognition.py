"""Finds the format of an input by its content."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from clew.collectors.errors import UnknownFormat
from clew.collectors.formats.language import Format, Recognise, Shape
from clew.collectors.formats.paths import Steps, alternatives


def best_json(formats: Sequence[Format], objects: Sequence[dict[str, Any]]) -> Format:
    """The highest-ranking JSON format that fits most of the objects, else the one that fits any.

    Raises:
        UnknownFormat: none fits.
    """
    fitting = [
        (sum(fits(one.recognise, unit) for unit in objects), one.recognise.rank, one)
        for one in formats
        if one.shape is Shape.JSON
    ]
    most = [(rank, count, one) for count, rank, one in fitting if count * 2 >= len(objects) and count]
    if most:
        return max(most, key=lambda entry: (entry[0], entry[1]))[2]
    raise UnknownFormat("JSON, but of no known format", help="clew formats lists them; --format names one")


def fits(recognise: Recognise, unit: dict[str, Any]) -> bool:
    """Whether a JSON object is one of the format's."""
    return (
        all(_text(unit, path) is not None for path in recognise.all)
        and (not recognise.any or any(_text(unit, path) is not None for path in recognise.any))
        and not any(_text(unit, path) is not None for path in recognise.none)
        and all(
            (text := _text(unit, path)) is not None and re.search(pattern, text)
            for path, pattern in recognise.where.items()
        )
    )


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
    found = []
    for unit in sample:
        if unit.lstrip().startswith("{"):
            try:
                value = json.loads(unit)
            except (ValueError, RecursionError):
                continue
            found.append(value)
    return found
