"""``dead_lettered``: a message was given up and lies in a dead-letter queue."""

from __future__ import annotations

import json
from collections.abc import Iterator

from clew.reconstruct.causes.cause import Action, Cause, Rule
from clew.reconstruct.causes.processing_failed import clues, failed
from clew.reconstruct.causes.scene import Scene, clue, event_of, handler, place
from clew.reconstruct.detail import Observation, Step, StepKind
from clew.reconstruct.model import Status

_QUEUE = ".dead_letter_queue"
"""How the attribute's name ends that a broker's collector gives to what lies in such a queue."""


def find(scene: Scene) -> Iterator[Cause]:
    """Messages with a dead letter that their handler did not handle well afterwards."""
    flow = scene.detail.flow
    if Status.DEAD_LETTERED not in (flow.status, *flow.also):
        return
    for step in scene.detail.steps:
        if step.dead_letter and not _resolved(scene, step):
            yield _cause(scene, step)


def _resolved(scene: Scene, step: Step) -> bool:
    tries = _tries(scene, step)
    return bool(tries) and tries[-1].status != "error" and tries[-1].id != step.id


def _tries(scene: Scene, step: Step) -> list[Step]:
    return scene.attempts.get((event_of(step), handler(step)), [])


def _letter(step: Step) -> Observation | None:
    return next(
        (one for one in (*step.logs, *step.observations) if one.fields.get("kind") == "dead_letter"), None
    )


def _queue(scene: Scene, step: Step, letter: Observation | None) -> str | None:
    """Where the message lies.

    A letter that was read from its queue says so among its attributes. The destination of
    any other is the queue, or where the message came from: headers such as Spring Kafka's
    name only the origin, and then another send of the same event tells it.
    """
    read_from = _read_from(letter)
    if read_from is not None:
        return read_from
    tries = _tries(scene, step)
    origins = {one.destination for one in tries if one.destination}
    sent = scene.cause_of(tries[0]) if tries else scene.cause_of(step)
    if sent is not None and sent.kind is StepKind.PUBLISH:
        origins |= {sent.destination} if sent.destination else set()
        for seen in sent.observations:
            if seen.fields.get("destination") not in {None, *origins}:
                return str(seen.fields["destination"])
    named = letter.fields.get("destination") if letter is not None else None
    return str(named) if named and named not in origins else None


def _read_from(letter: Observation | None) -> str | None:
    """The queue that a collector read a letter from; its destination may be where it came from."""
    attributes = str(letter.fields.get("attributes") or "") if letter is not None else ""
    if _QUEUE not in attributes:
        return None
    found = json.loads(attributes)
    return next((str(value) for name, value in found.items() if name.endswith(_QUEUE)), None)


def _cause(scene: Scene, step: Step) -> Cause:
    letter = _letter(step)
    named = _queue(scene, step, letter)
    queue = named or "a dead-letter queue"
    tries = _tries(scene, step)
    lies = f"the message is in {queue}"
    if any(one.status == "error" for one in tries):
        said = f"{failed(scene, tries)}; {lies}"
    else:
        said = f"{scene.name(step)} was given up ({step.dead_letter}); {lies}"
    origin = place(tries[0] if tries else step)
    from_ = f", from {origin}" if origin and origin != queue else ""
    told = clue(
        f"{'dead letter in ' + named if named else 'dead letter'}{from_}: {step.dead_letter}", step, letter
    )
    flow = scene.detail.flow
    return Cause(
        RULE.name,
        said,
        (*clues(scene, tries), told),
        (
            Action("see each attempt, with its log lines", ("show", flow.flow_id, "--logs")),
            Action("list what was given up in other flows, by step", ("dead", "--by", "step")),
            Action(f"mend what failed, then send the message again from {named or 'its dead-letter queue'}"),
        ),
    )


RULE = Rule("dead_lettered", "A message was given up and lies in a dead-letter queue.", find)
