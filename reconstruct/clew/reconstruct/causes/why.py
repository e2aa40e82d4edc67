"""The whole answer to "why": a flow's causes, and the sentence that says them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from clew.reconstruct.answers import Continuation
from clew.reconstruct.causes import Cause, Child, Scene, explain
from clew.reconstruct.causes.as_learned import as_learned
from clew.reconstruct.causes.scene import bounded
from clew.reconstruct.causes.wording import at, between, likely, short, spoken
from clew.reconstruct.detail import FlowDetail
from clew.reconstruct.model import Flow, Status

if TYPE_CHECKING:
    from clew.reconstruct.learned import LearnedType
    from clew.reconstruct.store import Store

DEPTH = 4
"""Generations of child flows that are asked."""
CHILDREN = 20
ENDED = frozenset({Status.COMPLETED, Status.CANCELLED, Status.COMPENSATED})
LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Why:
    """A flow explained, as it was judged."""

    detail: FlowDetail
    sentence: str
    causes: tuple[Cause, ...]
    """Ranked; those that explain the flow's status first."""

    @property
    def cause(self) -> str | None:
        """The flow's cause as its steps refine it; None where its status needs none."""
        return next((cause.name for cause in self.causes if cause.explains), None)


def why(
    store: Store,
    flow_id: str,
    scope: str = "",
    as_of: datetime | None = None,
    *,
    continued: Sequence[Continuation] = (),
) -> Why | None:
    """Explain one flow; None where there is none of that ID.

    ``continued`` is where flows likely go on (:meth:`clew.reconstruct.store.Store.continuations`).

    Raises:
        StoreError: the store cannot be asked.
    """
    detail = store.flow(flow_id, scope, as_of, LIMIT, usual=True)
    return None if detail is None else why_of(store, detail, as_of, continued=continued)


def why_of(
    store: Store, detail: FlowDetail, as_of: datetime | None, *, continued: Sequence[Continuation] = ()
) -> Why:
    """Explain a flow that was read at ``as_of``; None stands for the newest record's time."""
    return _Asking(store, as_of, continued).explain(detail, frozenset())


class _Asking:
    """Asks a store what the rules need beside the flow itself."""

    def __init__(self, store: Store, as_of: datetime | None, continued: Sequence[Continuation]) -> None:
        self._store = store
        self._as_of = as_of
        self._continued = continued
        self._definitions = {definition.name: definition for definition in store.definitions()}
        self._written = {definition.name for definition in store.settings().definitions}
        self._marks: dict[tuple[str, str], datetime | None] | None = None

    def explain(self, detail: FlowDetail, seen: frozenset[str]) -> Why:
        flow = detail.flow
        seen |= {flow.flow_id}
        scene = Scene(
            detail=detail,
            as_of=detail.as_of,
            definition=self._definitions.get(flow.type),
            watermarks=self._watermarks(detail),
            children=self._children(detail, seen) if flow.status not in ENDED else (),
            continued=detail.joined
            or tuple(
                one for one in self._continued if (one.scope, one.flow_id) == (flow.scope, flow.flow_id)
            ),
        )
        causes = explain(scene)
        known = self._learned.get(flow.type) if flow.status is Status.STUCK else None
        if known is not None:
            causes = as_learned(causes, scene, known)
        return Why(detail, sentence(flow, causes, detail.as_of, detail.p99_us), causes)

    @cached_property
    def _learned(self) -> dict[str, LearnedType]:
        """What the model in use says of the types that are judged by it."""
        judged = self._definitions.keys() - self._written
        model = self._store.model() if judged else None
        return {one.type: one for one in model.types if one.type in judged} if model else {}

    def _watermarks(self, detail: FlowDetail) -> dict[str, datetime | None]:
        if not detail.tellers:
            return {}
        if self._marks is None:
            self._marks = {(one.source, one.scope): one.watermark for one in self._store.sources()}
        return {source: mark for (source, scope), mark in self._marks.items() if scope == detail.flow.scope}

    def _children(self, detail: FlowDetail, seen: frozenset[str]) -> tuple[Child, ...]:
        found: list[Child] = []
        scope = detail.flow.scope
        for link in [link for link in detail.links if link.kind == "child"][:CHILDREN]:
            if link.flow_id in seen or len(seen) > DEPTH:
                continue
            child = self._store.flow(link.flow_id, scope, self._as_of, LIMIT)
            if child is None or child.flow.status in ENDED:
                continue
            told = self.explain(child, seen)
            said = next((cause.said for cause in told.causes if cause.explains), "")
            flow = child.flow
            found.append(Child(flow.flow_id, scope, flow.type, flow.status, link.via, said))
        return tuple(found)


def sentence(flow: Flow, causes: tuple[Cause, ...], as_of: datetime | None, p99_us: int | None = None) -> str:
    """What the on-call engineer would have written after an hour."""
    said = f"{bounded(flow.type)} {short(flow.flow_id)}".strip() + _standing(flow, as_of, p99_us)
    explaining = [cause for cause in causes if cause.explains]
    if not explaining:
        return said + "."
    inferred = explaining[0].likelihood
    said += f": {explaining[0].said}" + (f" (inferred {likely(inferred)})" if inferred is not None else "")
    join = next((cause for cause in explaining[1:] if cause.name == "waiting_for_join"), None)
    return said + (f"; {join.said}" if join is not None else "") + "."


def _standing(flow: Flow, as_of: datetime | None, p99_us: int | None) -> str:
    """How it stands: what it waits for since when, or when it ended."""
    if flow.status in ENDED:
        took = between(flow.started, flow.last)
        after = f", after {spoken(took)}" if took is not None else ""
        late = ", later than its limit allows" if flow.late else ""
        return f" {flow.status} {at(flow.last)}{after}{late}".replace("  ", " ")
    owed = flow.owed
    if owed is None or owed.kind == "retry" or flow.cause == "compensation_incomplete":
        ago = between(flow.last, as_of)
        since = f" {spoken(ago)} ago" if ago is not None else ""
        return {
            Status.FAILED: f" failed{since}",
            Status.DEAD_LETTERED: f" stopped{since}",
            Status.COMPENSATING: " is being undone",
        }.get(flow.status, " is in progress")
    waited = between(owed.since, as_of)
    since = f" since {spoken(waited)}" if waited is not None else ""
    if since and p99_us is not None:
        since += f" (p99 {spoken(p99_us)})"
    left = between(as_of, owed.deadline)
    due = f", due in {spoken(left)}" if left is not None and left > 0 else ""
    name = bounded(owed.name)
    what = {"handling": f"a handling of {name}", "end": f"the end of {name}"}.get(owed.kind, name)
    return f" waits for {what}{since}{due}"
