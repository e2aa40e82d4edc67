"""Models as JSON: the fields of :mod:`clew.reconstruct.learned` under their names; a definition as its file's text."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from clew.cli.flow_json import SCHEMA, time
from clew.cli.report_json import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clew.reconstruct.learned import LearnedType, Model


def learned(model: Model, new: Mapping[str, tuple[str, ...]], *, kept: bool) -> dict[str, Any]:
    """The model whole; ``new`` of each type is what the one before did not say."""
    return {
        **_head(model),
        "kept": kept,
        "asked": plain(model.asked),
        "types": [{**_type(one), "new": list(new.get(one.type, ()))} for one in model.types],
        "gone": [name for name in new if name not in {one.type for one in model.types}],
    }


def listed(model: Model) -> dict[str, Any]:
    """The model as one of several."""
    return {
        **_head(model),
        "types": [one.type for one in model.types if one.definition is not None],
        "silent": [one.type for one in model.types if one.definition is None],
        "flows": sum(one.flows for one in model.types),
    }


def _head(model: Model) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "model": model.number,
        "learned": time(model.learned),
        "made_by": model.made_by,
        "in_use": model.current,
    }


def _type(one: LearnedType) -> dict[str, Any]:
    from clew.reconstruct.definition_writer import written

    told = {
        field.name: plain(getattr(one, field.name)) for field in fields(one) if field.name != "definition"
    }
    return {**told, "definition": written([one.definition]) if one.definition is not None else None}
