"""Flows that are told as joined: how likely it is that all of one is one, and where it was put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clew.reconstruct.answers import Continuation, Match
    from clew.reconstruct.detail import FlowDetail
    from clew.reconstruct.model import Flow

    Joins = Mapping[tuple[str, str], tuple[Continuation, ...]]
    """Scope and flow ID → the continuations that were joined to it."""


def marked(flows: Iterable[Flow], joins: Joins) -> Iterator[Flow]:
    """Flows with how likely it is that all of each is one; untouched where nothing was joined to it."""
    for flow in flows:
        joined = joins.get((flow.scope, flow.flow_id), ())
        yield replace(flow, inferred=prod(one.likelihood for one in joined)) if joined else flow


def with_seams(detail: FlowDetail, joined: tuple[Continuation, ...]) -> FlowDetail:
    """A flow to which ``joined`` were joined, marked, with the steps where they begin told as inferred."""
    heads = {(one.time, one.service) for one in joined}
    steps = tuple(
        replace(step, via="inferred")
        if (step.start, step.service) in heads and step.parent is not None
        else step
        for step in detail.steps
    )
    (flow,) = marked([detail.flow], {(detail.flow.scope, detail.flow.flow_id): joined})
    return replace(detail, flow=flow, steps=steps, joined=joined)


def hidden(joins: Joins, text: str, scope: str | None) -> list[Match]:
    """The flows that a prefix of an ID leads to under which one of them goes on, by scope and flow ID."""
    from clew.reconstruct.answers import Match

    found = (
        Match(base[1], base[0], "prefix")
        for base, joined in joins.items()
        if scope in {None, base[0]} and any(one.continued.startswith(text) for one in joined)
    )
    return sorted(found, key=lambda match: (match.scope, match.flow_id))
