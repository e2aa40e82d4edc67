"""Durations as quantiles, in SQL and out of it."""

from __future__ import annotations

from collections.abc import Sequence

from clew.reconstruct.reports import Spread


def spread(name: str, expression: str, condition: str = "true") -> str:
    """Two columns: ``name``_count, how many durations there are where ``condition`` holds, and their quantiles."""
    return (
        f"count({expression}) FILTER ({condition}) AS {name}_count, "
        f"quantile_disc({expression}, [0.5, 0.95, 0.99]) FILTER ({condition}) AS {name}"
    )


def to_spread(count: int, quantiles: Sequence[int] | None) -> Spread | None:
    """What :func:`spread` selected; None for no durations."""
    if not count or quantiles is None:
        return None
    p50, p95, p99 = quantiles
    return Spread(int(count), int(p50), int(p95), int(p99))
