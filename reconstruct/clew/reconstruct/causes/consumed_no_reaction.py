"""``consumed_no_reaction``: a message was handled without error, and what is owed after it never came."""

from __future__ import annotations

from collections.abc import Iterator

from clew.reconstruct.causes.cause import Action, Cause, Rule
from clew.reconstruct.causes.scene import Scene, clue, shortened, who
from clew.reconstruct.causes.wording import at
from clew.reconstruct.detail import Step
from clew.reconstruct.model import Owed


def find(scene: Scene) -> Iterator[Cause]:
    """The handling after which an overdue step should have come.

    It is the latest handling that ended well and published nothing, by the service that
    the definition names; where it names none, by those that send the event in other
    flows; where nobody ever sent it, there is none to name.
    """
    for owed in scene.overdue("step"):
        senders = scene.senders(owed)
        quiet = [step for step in scene.handlings if step.service in senders and _quiet(scene, step)]
        if quiet:
            yield _cause(scene, owed, quiet[-1])


def _quiet(scene: Scene, step: Step) -> bool:
    return (
        step.status != "error"
        and not step.open
        and step.dead_letter is None
        and step.id not in scene.publishing
        and step.id not in scene.hung
    )


def _cause(scene: Scene, owed: Owed, step: Step) -> Cause:
    when = at(step.end or step.start)
    flow = scene.detail.flow
    return Cause(
        RULE.name,
        f"{who(step)} read {scene.event(step)} without error {when}, and {owed.name} never came".replace(
            "  ", " "
        ),
        (
            clue(f"{who(step)} handled {scene.event(step)} and published nothing", step),
            *(
                clue(f"it logged a warning: {shortened(str(seen.fields.get('body') or ''))}", step, seen)
                for seen in (*step.observations, *step.logs)
                if seen.fields.get("severity") == "WARN"
            ),
        ),
        (
            Action(
                f"read what {who(step)} logged while it handled {scene.name(step)}",
                ("show", flow.flow_id, "--logs"),
            ),
            Action("see whether it is so in other flows", ("stuck", "--by", "step")),
        ),
    )


RULE = Rule(
    "consumed_no_reaction",
    "A message was handled without error, and what is owed after it never came.",
    find,
)
