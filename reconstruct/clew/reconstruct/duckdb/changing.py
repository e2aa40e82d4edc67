"""What changed since somebody looked last."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from clew.reconstruct.duckdb.querying import scopes, select_flows, to_flows, utc
from clew.reconstruct.model import Changed, FlowFilter, Settings

if TYPE_CHECKING:
    import duckdb


class Mark(NamedTuple):
    """How far somebody has seen a store."""

    batch: int
    """The last batch whose records were there."""
    as_of: datetime | None
    """The time (naive UTC) that the flows were judged by."""
    stamp: str
    """What the file looked like before it was asked: the same again means that nothing was committed."""

    def text(self) -> str:
        """The mark for :func:`read_mark`."""
        return json.dumps([self.batch, self.as_of.isoformat() if self.as_of else None, self.stamp])


def read_mark(text: str | None) -> Mark | None:
    """A mark that :meth:`Mark.text` wrote."""
    if text is None:
        return None
    batch, as_of, stamp = json.loads(text)
    return Mark(batch, datetime.fromisoformat(as_of) if as_of else None, stamp)


def changed(
    connection: duckdb.DuckDBPyConnection,
    which: FlowFilter,
    before: Mark | None,
    stamp: str,
    now: datetime | None,
    settings: Settings,
) -> Changed:
    """Flows with records of batches after the mark's, and those whose deadline passed after its time.

    A mark beyond the store's last batch is another store's, and as good as none.
    """
    newest = connection.execute("SELECT coalesce(max(batch), 0) FROM store.records").fetchall()[0][0]
    mark = Mark(newest, now, stamp).text()
    if before is None or before.batch > newest or which.limit == 0:
        return Changed([], mark, utc(now))
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE touched AS
        SELECT flow FROM store.records WHERE batch > {int(before.batch)} AND flow IS NOT NULL
        UNION
        SELECT s.flow FROM store.shared AS s SEMI JOIN (
            SELECT record FROM store.records WHERE batch > {int(before.batch)} AND flow IS NULL
        ) USING (record)
    """).fetchall()
    also = "flow IN (FROM touched)"
    if now is not None:
        # A deadline is exclusive: what was due at the mark's time is overdue after it.
        begin = f"TIMESTAMP '{before.as_of.isoformat(sep=' ')}'" if before.as_of else "TIMESTAMP '-infinity'"
        also += f" OR (waits_for[1] >= {begin} AND waits_for[1] < TIMESTAMP '{now.isoformat(sep=' ')}')"
    select_flows(connection, which, settings, "answer_changed", f"({also})")
    flows = to_flows(connection, "answer_changed", 0, _EVERY, scopes(connection))
    connection.execute("DROP TABLE answer_changed; DROP TABLE answer_changed_keys; DROP TABLE touched")
    return Changed(flows, mark, utc(now))


_EVERY = 1 << 40
