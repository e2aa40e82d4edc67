"""OTLP spans: put together from a file, against Zipkin's server taking them into memory."""

from __future__ import annotations

import json
from statistics import median

import pytest
from tests.benchmarks.figures import Figure, Figures, NotRun
from tests.benchmarks.inputs import Inputs, Spans
from tests.benchmarks.measuring import alternate, duration
from tests.servers.zipkin import CONNECTIONS, Unavailable, Zipkin, server_jar, zipkin

pytestmark = pytest.mark.bench

COUNT = 1_000_000
ROUNDS = 3


def test_spans_per_second_against_zipkin(inputs: Inputs, figures: Figures) -> None:
    name = f"spans per second of `clew ingest` of {inputs.named(COUNT)} OTLP spans / of Zipkin's server"
    try:
        server_jar()
        spans = inputs.spans(COUNT)
        runs = alternate(
            inputs.rounds(ROUNDS),
            {"clew": lambda _: _ingest(inputs, spans), "zipkin": lambda _: _post(inputs, spans)},
        )
    except Unavailable as error:
        figures.add(NotRun(name, str(error)))
        return
    ours, theirs = median(runs["clew"]), median(runs["zipkin"])
    pairs = [other / one for one, other in zip(runs["clew"], runs["zipkin"], strict=True)]
    detail = (
        f"{spans.total / ours:,.0f}/s in {duration(ours)}, its start included / "
        f"{spans.total / theirs:,.0f}/s in {duration(theirs)} when warm, over {CONNECTIONS} connections; "
        f"{len(pairs)} pairs, {min(pairs):.2f} to {max(pairs):.2f}"
    )
    figures.add(Figure(name, theirs / ours, 2, detail, at_least=True))


def _ingest(inputs: Inputs, spans: Spans) -> float:
    store = inputs.folder / "spans.duckdb"
    done, said = inputs.ingest(store, spans.otlp)
    assert (said["new"], said["rejects"]) == (spans.total, 0)
    for path in store.parent.glob(f"{store.name}*"):
        path.unlink()
    return done.seconds


def _post(inputs: Inputs, spans: Spans) -> float:
    """Give the seconds that a warm server took; its own start is not counted."""
    # Room for all, so that it never spends time on throwing old ones away.
    room = (spans.total + spans.warm_total) * 2
    with zipkin(inputs.folder / "zipkin.log", room) as server:
        server.post_all(spans.warm_posts, spans.warm_total)
        took = server.post_all(spans.posts, spans.total)
        _assert_held(server, spans)
        return took


def _assert_held(server: Zipkin, spans: Spans) -> None:
    """Look one span of every hundredth post up: what is counted must be kept."""
    with spans.posts.open("rb") as posts:
        for number, post in enumerate(posts):
            if number % 100 == 0:
                span = json.loads(post)[-1]
                assert span["id"] in [held["id"] for held in server.trace(span["traceId"])]
