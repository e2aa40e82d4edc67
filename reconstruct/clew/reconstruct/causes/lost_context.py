"""``lost_context``: a service dropped the flow's IDs, and the flow likely goes on under others."""

from __future__ import annotations

from collections.abc import Iterator

from clew.reconstruct.answers import Continuation
from clew.reconstruct.causes.cause import Action, Cause, Clue, Rule
from clew.reconstruct.causes.scene import Scene, bounded, clue, names, who
from clew.reconstruct.causes.wording import at, likely, short, spoken
from clew.reconstruct.detail import Step, StepKind

NEGLIGIBLE = 0.01


def find(scene: Scene) -> Iterator[Cause]:
    """Each likely continuation, the likeliest first. None of it was observed: all is inferred."""
    for one in scene.continued:
        yield _cause(scene, one)


def _sent(scene: Scene, one: Continuation) -> Step | None:
    """The event after which the context was lost; that is the place to look."""
    sent = [step for step in scene.detail.steps if step.kind in {StepKind.PUBLISH, StepKind.EVENT}]
    return next(
        (step for step in sent if step.event_id == one.after_id and one.after_id is not None),
        next((step for step in reversed(sent) if step.name == one.after), None),
    )


def _cause(scene: Scene, one: Continuation) -> Cause:
    service, after, step = bounded(one.service or "somebody"), bounded(one.after), bounded(one.step)
    sent = _sent(scene, one)
    clues = [
        *([clue(f"{who(sent)} sent {scene.event(sent)}", sent)] if sent is not None else []),
        Clue(
            f"{step} by {service} begins {one.continued}, with nothing that leads back", one.time, one.service
        ),
        Clue(f"it came {spoken(one.lag_us)} later; {_usual(one)}"),
    ]
    if one.agree:
        clues.append(Clue(f"both have {names([bounded(value) for value in one.agree])}"))
    rival = likely(one.second) if one.second >= NEGLIGIBLE else f"below {NEGLIGIBLE}"
    clues.append(Clue(f"the next best flow to have broken off there has a likelihood of {rival}"))
    flow = scene.detail.flow
    return Cause(
        RULE.name,
        f"{service} lost the context of {after}, which likely goes on under {short(one.continued)}"
        + (f" with {step} {at(one.time)}" if step != after else f" {at(one.time)}"),
        tuple(clues),
        (
            Action(f"have {service} hand on the correlation ID of {after}: docs/tracer.md says how"),
            Action("see how it goes on there", ("show", one.continued)),
            Action("see both as one", ("show", flow.flow_id, "--inferred")),
        ),
        inferred=True,
        likelihood=one.likelihood,
    )


def _usual(one: Continuation) -> str:
    if one.usual_us is None:
        return "the definition waits for it"
    least, most = one.usual_us
    return f"nine tenths come after {spoken(least)} to {spoken(most)}"


RULE = Rule(
    "lost_context", "A service dropped the flow's IDs, and it likely goes on under another one.", find
)
