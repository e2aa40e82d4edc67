"""Where flows without an instance key come from: part of attribute.

A home (a trace, or an event without one) follows another when one of its records names
a record of the other as cause, link or parent. Homes that follow none are origins.
Homes that follow each other in a circle, as a request and its reply do, are one: the
earliest of them is the origin, unless they all follow yet another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clew.reconstruct.passes.context import Context

NEVER = 2**63 - 1
"""Microseconds: the age of a home without a time."""


def find_origins(context: Context) -> None:
    """Make ``origin(home)`` of the ``open`` records and who ``mention``s whom."""
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE home AS
        SELECT coalesce(trace_h, event_h) AS home, coalesce(epoch_us(min(time)), {NEVER}) AS since
        FROM open WHERE coalesce(trace_h, event_h) IS NOT NULL
        GROUP BY ALL
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE follows AS
        SELECT DISTINCT coalesce(a.trace_h, a.event_h) AS effect, coalesce(b.trace_h, b.event_h) AS origin
        FROM mention AS m
        JOIN pair AS p ON p.here = m.role AND m.role IN ('cause', 'link', 'parent')
        JOIN mention AS n ON n.token = m.token AND n.role = p.there
        JOIN open AS a ON a.record = m.record
        JOIN open AS b ON b.record = n.record
        WHERE effect <> origin
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE origin AS SELECT home FROM home EXCEPT SELECT effect FROM follows
    """)
    context.run("CREATE OR REPLACE TEMP TABLE settled AS FROM origin")
    context.run(
        "CREATE OR REPLACE TEMP TABLE circling AS SELECT home FROM home ANTI JOIN origin USING (home)"
    )
    while context.count("SELECT count(*) FROM settled") and context.count("SELECT count(*) FROM circling"):
        context.run("""
            CREATE OR REPLACE TEMP TABLE settled AS
            SELECT DISTINCT f.effect AS home
            FROM follows AS f JOIN settled AS s ON s.home = f.origin
            JOIN circling AS c ON c.home = f.effect
        """)
        context.run("DELETE FROM circling WHERE home IN (SELECT home FROM settled)")
    if context.count("SELECT count(*) FROM circling"):
        _break_circles(context)


def _break_circles(context: Context) -> None:
    """Add to ``origin`` the earliest home of each circle that follows nothing outside it."""
    since: dict[Any, Any] = {
        home: (moment, home) for home, moment in context.run("FROM home SEMI JOIN circling USING (home)")
    }
    follows: dict[Any, list[Any]] = {home: [] for home in since}
    for effect, origin in context.run("""
        SELECT effect, origin FROM follows
        SEMI JOIN circling ON circling.home = effect
        ORDER BY effect, origin
    """):
        follows[effect].append(origin)
    for circle in circles(follows):
        if all(origin in circle for home in circle for origin in follows[home]):
            context.run("INSERT INTO origin VALUES (?)", [min(circle, key=since.__getitem__)])


def circles(follows: Mapping[Any, list[Any]]) -> Iterator[set[Any]]:
    """The strongly connected components of a graph (Kosaraju and Sharir, without recursion).

    Every node must be a key; an edge to what is no key is ignored.
    """
    followed: dict[Any, list[Any]] = {node: [] for node in follows}
    for node, others in follows.items():
        for other in others:
            if other in followed:
                followed[other].append(node)
    seen: set[Any] = set()
    finished = [node for root in follows for node in _walk(follows, root, seen)]
    seen = set()
    for root in reversed(finished):
        circle = set(_walk(followed, root, seen))
        if circle:
            yield circle


def _walk(edges: Mapping[Any, list[Any]], root: Any, seen: set[Any]) -> list[Any]:
    """What ``root`` leads to and is not ``seen`` yet, each node after all that it leads to."""
    finished: list[Any] = []
    waiting = [(root, False)]
    while waiting:
        node, done = waiting.pop()
        if done:
            finished.append(node)
        elif node in edges and node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting.extend((other, False) for other in edges[node])
    return finished
