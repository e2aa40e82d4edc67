"""What a learned model adds to a cause: that nobody wrote it down, how sure it is, and how long it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clew.reconstruct.causes.wording import spoken

if TYPE_CHECKING:
    from clew.reconstruct.causes.cause import Cause
    from clew.reconstruct.causes.scene import Scene
    from clew.reconstruct.learned import LearnedStep, LearnedType

FROM_STEPS = frozenset({"never_published", "consumed_no_reaction", "waiting_for_join"})
"""Causes that hold because a definition owes a step."""


def as_learned(causes: tuple[Cause, ...], scene: Scene, known: LearnedType) -> tuple[Cause, ...]:
    """The causes; those that follow from what the model owes are inferred, and the first of them says from what."""
    overdue = scene.overdue("step")
    events = set(overdue[0].events) if overdue else set()
    step = max((one for one in known.steps if one.event in events), key=lambda one: one.flows, default=None)
    if step is None:
        return causes
    found = [replace(cause, inferred=cause.inferred or cause.name in FROM_STEPS) for cause in causes]
    first = next((nth for nth, cause in enumerate(found) if cause.inferred), None)
    if first is not None:
        found[first] = replace(found[first], said=f"{found[first].said} ({_words(step)})")
    return tuple(found)


def _words(step: LearnedStep) -> str:
    """``learned: so in 99.3% of 1,069 flows, p99 600 ms``."""
    told = f"learned: so in {step.share:.1%} of {step.reached:,} flows"
    return f"{told}, p99 {spoken(step.took.p99_us)}" if step.took else told
