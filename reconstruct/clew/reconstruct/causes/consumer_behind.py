"""``consumer_behind``: a consumer group works on, but has not come to the flow's message yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from clew.reconstruct.causes.cause import Action, Cause, Rule
from clew.reconstruct.causes.scene import Scene, clue, event_of, handler, who
from clew.reconstruct.causes.wording import MINUTE, SECOND, at, between, spoken
from clew.reconstruct.model import GroupPosition, Step, StepKind

STILL_US = 1 * MINUTE
"""A group moves that handled something so shortly ago,"""
GAPS = 10
"""or no longer ago than so many times as long as it takes for one message."""


def find(scene: Scene) -> Iterator[Cause]:
    """Messages beyond the highest offset that a group has handled in their partition, while it moves.

    The message's handling is owed, or the group's service is the one to send what is owed.
    Only what records tell is known: a group that handles without coordinates is not seen.
    """
    waited = {(owed.name, owed.since) for owed in scene.owes("handling")}
    senders = {name for owed in scene.owes("step") for name in scene.senders(owed)}
    for step in scene.detail.steps:
        if step.kind is not StepKind.PUBLISH or step.offset is None:
            continue
        for group in scene.detail.groups:
            due = (step.name, step.start) in waited or senders.intersection(group.services)
            if due and _is_before(scene, group, step) and _moves(scene, group, step):
                yield _cause(scene, group, step)


def _is_before(scene: Scene, group: GroupPosition, step: Step) -> bool:
    return (
        (group.destination, group.partition) == (step.destination, step.partition)
        and step.offset is not None
        and group.offset < step.offset
        and not any(
            event_of(one) == event_of(step) and {handler(one), one.service} & {group.group, *group.services}
            for one in scene.handlings
        )
    )


def _moves(scene: Scene, group: GroupPosition, step: Step) -> bool:
    """Whether it handled something after the message was sent, and lately."""
    return step.start is not None and group.time >= step.start and is_moving(group, scene.as_of)


def is_moving(group: GroupPosition, as_of: datetime | None) -> bool:
    """Whether a group handled something lately, as its own pace tells."""
    since = between(group.time, as_of)
    if since is None or not group.per_second:
        return False
    return since <= max(STILL_US, int(GAPS * SECOND / group.per_second))


def _cause(scene: Scene, group: GroupPosition, step: Step) -> Cause:
    messages = (step.offset or 0) - group.offset
    behind = between(group.sent, step.start)
    time = f", {spoken(behind)} behind" if behind is not None and behind > 0 else ""
    left = int(messages * SECOND / group.per_second)
    return Cause(
        RULE.name,
        f"{group.group} has not come to {scene.event(step)} yet: it is at {group.offset}{time}, "
        f"and catches up in about {spoken(left)}",
        (clue(f"{who(step)} sent {scene.event(step)}", step),),
        (
            Action(
                f"look at {group.group}: it handles {group.per_second:.3g} messages a second of {_where(group)}"
            ),
            Action("see whether other flows wait for it", ("stuck", "--by", "cause")),
        ),
    )


def _where(group: GroupPosition) -> str:
    return f"{group.destination}/{group.partition}, the last one {at(group.time)}"


RULE = Rule("consumer_behind", "A consumer group works on, but has not come to the flow's message yet.", find)
