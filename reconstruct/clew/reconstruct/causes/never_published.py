"""``never_published``: a step that the flow's definition owes was not seen."""

from __future__ import annotations

from collections.abc import Iterator

from clew.reconstruct.causes.cause import Action, Cause, Clue, Rule
from clew.reconstruct.causes.scene import Scene, clue, names
from clew.reconstruct.causes.wording import at


def find(scene: Scene) -> Iterator[Cause]:
    """Overdue steps of the definition; one cause for all of them."""
    overdue = scene.overdue("step")
    if not overdue:
        return
    owed = overdue[0]
    senders = scene.senders(owed)
    by = f" by {names(senders, 'or')}" if senders else ""
    said, clues = f"{owed.name} was not sent{by}", []
    last = scene.last
    if last is not None:
        before = scene.event(last) + (f" by {last.service}" if last.service else "")
        said += f"; what came last is {before} {at(last.start)}"
        clues.append(clue(f"the last step: {before}", last))
    clues.extend(Clue(f"{one.name} is owed as well", one.since, one.service) for one in overdue[1:])
    flow = scene.detail.flow
    yield Cause(
        RULE.name,
        said,
        tuple(clues),
        (
            Action("see how far it came", ("show", flow.flow_id, "--logs")),
            Action("see whether it is so in other flows", ("stuck", "--by", "step")),
        ),
    )


RULE = Rule("never_published", "A step that the flow's definition owes was not seen.", find)
