"""Why a flow is as it is: rules over its steps, one file each.

**Rank.** Causes come in the order of :data:`RULES`: what was observed before what is
inferred from absence, since an error that was told is certain and a silence is not; then
what puts the silence in doubt (a source that is behind); then the culprit before the state
that it leaves the flow in (a child flow, a likely continuation under another ID, a step that
hangs, a consumer that has not come so far, a message that nobody took, what was done and is not
undone, a handler that did not react, a join that lacks a part, a step not seen). A cause that
explains the flow's stored one comes before all that merely hold besides.

**One voice.** A list of flows shows the stored cause, told from waits alone without a look
at any step: cheap for a million flows. These rules refine it: :data:`REFINES` says which
of them may stand for it, the first one that :func:`explain` gives is always one of these,
and ``clew show``, ``clew why`` and the groups of ``--by`` show that one.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from clew.reconstruct.causes import (
    compensation_incomplete,
    consumed_no_reaction,
    consumer_behind,
    dead_lettered,
    duplicate_processing,
    lost_context,
    never_consumed,
    never_published,
    processing_failed,
    retrying,
    slow_step,
    source_behind,
    unknown_end,
    waiting_for_flow,
    waiting_for_join,
)
from clew.reconstruct.causes.cause import Action, Cause, Clue, Rule
from clew.reconstruct.causes.scene import Child, Scene

__all__ = ["MEANINGS", "REFINES", "RULES", "Action", "Cause", "Child", "Clue", "Rule", "Scene", "explain"]

RULES: tuple[Rule, ...] = (
    dead_lettered.RULE,
    processing_failed.RULE,
    retrying.RULE,
    source_behind.RULE,
    waiting_for_flow.RULE,
    lost_context.RULE,
    slow_step.RULE,
    consumer_behind.RULE,
    never_consumed.RULE,
    compensation_incomplete.RULE,
    consumed_no_reaction.RULE,
    waiting_for_join.RULE,
    never_published.RULE,
    unknown_end.RULE,
    duplicate_processing.RULE,
)
"""Every rule, in the order in which causes are ranked."""

MOST = 10
"""Causes by one rule: of a fan-out that broke everywhere some say it all."""

MEANINGS = {rule.name: rule.meaning for rule in RULES}
"""Cause → what it means, one sentence."""

REFINES: dict[str, tuple[str, ...]] = {
    "dead_lettered": ("dead_lettered",),
    "processing_failed": ("processing_failed",),
    "retrying": ("retrying",),
    "compensation_incomplete": ("compensation_incomplete",),
    "source_behind": ("source_behind",),
    "slow_step": ("waiting_for_flow", "slow_step"),
    "never_consumed": ("waiting_for_flow", "lost_context", "consumer_behind", "never_consumed"),
    "never_published": (
        "waiting_for_flow",
        "lost_context",
        "slow_step",
        "consumer_behind",
        "never_consumed",
        "compensation_incomplete",
        "consumed_no_reaction",
        "waiting_for_join",
        "never_published",
    ),
    "unknown_end": ("waiting_for_flow", "lost_context", "unknown_end"),
}
"""Stored cause → what it may turn out to be when somebody looks at the flow's steps."""


def explain(scene: Scene) -> tuple[Cause, ...]:
    """Every cause that holds, ranked. The first explains the stored one, if there is one."""
    stored = scene.detail.flow.cause
    explaining = REFINES.get(stored or "", ())
    found = [
        replace(cause, explains=cause.name in explaining)
        for rule in RULES
        for cause in islice(rule.find(scene), MOST)
    ]
    if stored is not None and not any(cause.explains for cause in found):
        said = MEANINGS.get(stored, stored).rstrip(".")
        found.append(Cause(stored, said[:1].lower() + said[1:], explains=True))
    return tuple(sorted(found, key=lambda cause: not cause.explains))
