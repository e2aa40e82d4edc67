"""``clew why --json``: one object, documented in docs/commands.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clew.cli import flow_json

if TYPE_CHECKING:
    from clew.reconstruct.causes import Action, Cause, Clue
    from clew.reconstruct.causes.why import Why


def why_json(told: Why) -> dict[str, Any]:
    """The flow's line, and why it is so."""
    return {
        **flow_json.flow(told.detail.flow),
        "as_of": flow_json.time(told.detail.as_of),
        "refined_cause": told.cause,
        "sentence": told.sentence,
        "causes": [cause(one) for one in told.causes],
        "truncated": told.detail.truncated,
    }


def cause(one: Cause) -> dict[str, Any]:
    """A cause with its evidence and what to do."""
    return {
        "cause": one.name,
        "explains": one.explains,
        "inferred": one.inferred,
        "likelihood": one.likelihood,
        "said": one.said,
        "clues": [clue(seen) for seen in one.clues],
        "next": [action(what) for what in one.next],
    }


def clue(seen: Clue) -> dict[str, Any]:
    """What a record says, and where."""
    return {
        "said": seen.said,
        "time": flow_json.time(seen.time),
        "service": seen.service,
        "source": seen.source,
        "position": seen.position,
    }


def action(what: Action) -> dict[str, Any]:
    """What to do, and the words of the command that does it, or ``null``."""
    return {"do": what.do, "command": ["clew", *what.command] if what.command else None}
