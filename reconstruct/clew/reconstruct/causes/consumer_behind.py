"""``consumer_behind``: a consumer group works on, but has not come to the flow's message yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from clew.reconstruct.causes.cause import Action, Cause, Clue, Rule
from clew.reconstruct.causes.scene import Scene, clue, event_of, handler, who
from clew.reconstruct.causes.wording import MINUTE, SECOND, at, between, spoken
from clew.reconstruct.detail import ConsumerLag, GroupPosition, Step, StepKind

STILL_US = 1 * MINUTE
"""A group moves that handled something so shortly ago,"""
GAPS = 10
"""or no longer ago than so many times as long as it takes for one message."""


def find(scene: Scene) -> Iterator[Cause]:
    """Messages beyond the highest offset that a group has handled in their partition, while it moves.

    The message's handling is owed, or the group's service is the one to send what is owed.
    A group that handles without coordinates is not seen in records; a metric of its lag tells
    of it all the same, where it was behind after the message was sent.
    """
    waited = {(owed.name, owed.since) for owed in scene.owes("handling")}
    senders = {name for owed in scene.owes("step") for name in scene.senders(owed)}
    for step in scene.detail.steps:
        if step.kind is not StepKind.PUBLISH:
            continue
        seen = False
        for group in scene.detail.groups if step.offset is not None else ():
            due = (step.name, step.start) in waited or senders.intersection(group.services)
            if due and _is_before(scene, group, step) and _moves(scene, group, step):
                seen = True
                yield _cause(scene, group, step)
        if not seen:
            everybody = (step.name, step.start) in waited
            for lag in _behind(scene, step):
                if everybody or senders.intersection(_services(scene, lag)):
                    yield _told(scene, lag, step)


def _behind(scene: Scene, step: Step) -> Iterator[ConsumerLag]:
    """Consumers that were behind on a message's destination after it was sent, and have not handled it."""
    handled = {
        name
        for one in scene.handlings
        if event_of(one) == event_of(step)
        for name in (handler(one), one.service)
    }
    come = {
        name
        for group in scene.detail.groups
        if not _is_before(scene, group, step)
        and (group.destination, group.partition) == (step.destination, step.partition)
        for name in (group.group, *group.services)
    }
    for lag in scene.detail.lags:
        here = lag.destination == step.destination and (
            step.partition is None or lag.partition is None or lag.partition == step.partition
        )
        late = step.start is not None and lag.time > step.start
        if here and late and lag.messages > 0 and lag.consumer not in handled | come:
            yield lag


def _services(scene: Scene, lag: ConsumerLag) -> set[str]:
    """Who may stand behind a consumer's name."""
    known = {name for group in scene.detail.groups if group.group == lag.consumer for name in group.services}
    return known | {lag.consumer}


def _told(scene: Scene, lag: ConsumerLag, step: Step) -> Cause:
    where = lag.destination if lag.partition is None else f"{lag.destination}/{lag.partition}"
    was = f"{lag.consumer} was {_many(lag.messages)} behind on {where}"
    clues = [clue(f"{who(step)} sent {scene.event(step)}", step), Clue(was, lag.time)]
    if lag.since < lag.time:
        clues.append(Clue(f"{lag.consumer} was {_many(lag.before)} behind", lag.since))
    return Cause(
        RULE.name,
        f"{lag.consumer} has not come to {scene.event(step)} yet: it was {_many(lag.messages)} behind on {where} "
        f"{at(lag.time)}",
        tuple(clues),
        (
            Action(f"look at {lag.consumer}: it {_trend(lag)}"),
            Action("see whether other flows wait for it", ("stuck", "--by", "cause")),
        ),
    )


def _many(messages: int) -> str:
    return f"{messages:,} message{'' if messages == 1 else 's'}"


def _trend(lag: ConsumerLag) -> str:
    if lag.messages > lag.before:
        return f"falls behind: {lag.messages - lag.before:,} more than {at(lag.since)}"
    if lag.messages < lag.before:
        return f"catches up: {lag.before - lag.messages:,} fewer than {at(lag.since)}"
    return "does not catch up"


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
