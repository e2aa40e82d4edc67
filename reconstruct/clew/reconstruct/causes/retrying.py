"""``retrying``: a handler failed, and its time to try again has not passed."""

from __future__ import annotations

from collections.abc import Iterator

from clew.reconstruct.causes.cause import Cause, Rule
from clew.reconstruct.causes.processing_failed import clues, failed, look, unanswered
from clew.reconstruct.causes.scene import Scene, who
from clew.reconstruct.causes.wording import at


def find(scene: Scene) -> Iterator[Cause]:
    """Failed handlings without an answer whose deadline has not passed."""
    due = [one for one in scene.owes("retry") if not one.held and one not in scene.overdue("retry")]
    if not due:
        return
    until = max(one.deadline for one in due if one.deadline) if any(one.deadline for one in due) else None
    for tries in unanswered(scene):
        later = f", and may try again until {at(until).removeprefix('at ')}" if until else ""
        yield Cause(
            RULE.name,
            failed(scene, tries) + later,
            clues(scene, tries),
            look(scene, f"read what {who(tries[-1])} logged while it failed"),
        )


RULE = Rule("retrying", "A handler failed, and its time to try again has not passed.", find)
