"""What changed since somebody looked last.

New records and passed deadlines tell which flows to look at. When the store judges by something
else (a model was learned, definitions or keys were changed), any flow may stand otherwise: so the
workbench keeps how each stood, as a hash, from the first look on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from clew.reconstruct.answers import Changed
from clew.reconstruct.duckdb.judging import judged
from clew.reconstruct.duckdb.querying import conditions, scopes, select_flows, to_flows, utc
from clew.reconstruct.model import FlowFilter, Settings

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
    judging: str
    """What the flows were judged by."""
    undecided: datetime | None
    """The earliest deadline (naive UTC) that had passed while nobody could say yet that it was overdue."""

    def text(self) -> str:
        """The mark for :func:`read_mark`."""
        as_of, undecided = (time.isoformat() if time else None for time in (self.as_of, self.undecided))
        return json.dumps([self.batch, as_of, self.stamp, self.judging, undecided])


def read_mark(text: str | None) -> Mark | None:
    """A mark that :meth:`Mark.text` wrote."""
    if text is None:
        return None
    batch, as_of, stamp, judging, undecided = json.loads(text)
    return Mark(batch, _time(as_of), stamp, judging, _time(undecided))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def changed(
    connection: duckdb.DuckDBPyConnection,
    which: FlowFilter,
    before: Mark | None,
    stamp: str,
    now: datetime | None,
    settings: Settings,
) -> Changed:
    """Flows with records of batches after the mark's, and those whose deadline passed after its time.

    Where something was held back at the mark's time, so are those whose deadline passed since the
    earliest of that. Where the store judges by something else since, those that stand otherwise, too.
    A mark beyond the store's last batch is another store's, and as good as none.
    """
    newest = connection.execute("SELECT coalesce(max(batch), 0) FROM store.records").fetchall()[0][0]
    ((judging,),) = connection.execute(
        "SELECT coalesce(list(hash(name, value) ORDER BY name)::VARCHAR, '') FROM store.settings"
    ).fetchall()
    ((undecided,),) = connection.execute("SELECT min(deadline) FROM open_wait WHERE held").fetchall()
    mark = Mark(newest, now, stamp, judging, undecided).text()
    if which.limit == 0:
        return Changed([], mark, utc(now))
    if before is None or before.batch > newest:
        _keep(connection, which, settings)
        return Changed([], mark, utc(now))
    otherwise = judging != before.judging
    also = _touched(connection, before, now)
    if otherwise:
        _compare(connection, which, settings)
        also += " OR flow IN (FROM otherwise)"
    select_flows(connection, which, settings, "answer_changed", f"({also})")
    flows = to_flows(connection, "answer_changed", 0, _EVERY, scopes(connection))
    if otherwise:
        _keep(connection, which, settings)
    elif flows and _is_kept(connection, which):
        connection.execute("DELETE FROM stood WHERE flow IN (SELECT flow FROM answer_changed)").fetchall()
        connection.execute(f"INSERT INTO stood SELECT flow, {_STATE} FROM answer_changed").fetchall()
    connection.execute("DROP TABLE answer_changed; DROP TABLE answer_changed_keys; DROP TABLE touched")
    return Changed(flows, mark, utc(now))


def _touched(connection: duckdb.DuckDBPyConnection, before: Mark, now: datetime | None) -> str:
    """The condition of a flow with new records, or whose deadline passed."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE touched AS
        SELECT flow FROM store.records WHERE batch > {int(before.batch)} AND flow IS NOT NULL
        UNION
        SELECT s.flow FROM store.shared AS s SEMI JOIN (
            SELECT record FROM store.records WHERE batch > {int(before.batch)} AND flow IS NULL
        ) USING (record)
    """).fetchall()
    if now is None:
        return "flow IN (FROM touched)"
    # A deadline is exclusive: what was due at the mark's time is overdue after it. So is what had
    # passed before, where its teller was not read so far yet.
    since = min(filter(None, (before.as_of, before.undecided)), default=None)
    begin = f"TIMESTAMP '{since.isoformat(sep=' ')}'" if since else "TIMESTAMP '-infinity'"
    due = f"waits_for[1] >= {begin} AND waits_for[1] < TIMESTAMP '{now.isoformat(sep=' ')}'"
    return f"flow IN (FROM touched) OR ({due})"


def _standing(
    connection: duckdb.DuckDBPyConnection, which: FlowFilter, settings: Settings
) -> tuple[str, list[object]]:
    """A SELECT of the flows of ``which`` and how they stand, and the values that it binds."""
    where, bound = conditions(connection, which, settings)
    return f"SELECT flow, {_STATE} AS state FROM ({judged()}) WHERE {where}", bound


def _keep(connection: duckdb.DuckDBPyConnection, which: FlowFilter, settings: Settings) -> None:
    """Make ``stood(flow, state)``, and say of which flows it is."""
    select, bound = _standing(connection, which, settings)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE stood AS {select}", bound).fetchall()
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE stood_of AS SELECT ? AS which", [_conditions(which)]
    ).fetchall()


def _is_kept(connection: duckdb.DuckDBPyConnection, which: FlowFilter) -> bool:
    known = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'stood_of'"
    ).fetchall()
    return bool(known[0][0]) and connection.execute("FROM stood_of").fetchall() == [(_conditions(which),)]


def _conditions(which: FlowFilter) -> str:
    return repr(replace(which, limit=None, sort="last", descending=True))


def _compare(connection: duckdb.DuckDBPyConnection, which: FlowFilter, settings: Settings) -> None:
    """Make ``otherwise(flow)`` of the flows that stand otherwise; all of them where it is not known how they stood."""
    select, bound = _standing(connection, which, settings)
    if _is_kept(connection, which):
        select = f"({select}) EXCEPT FROM stood"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE otherwise AS SELECT flow FROM ({select})", bound
    ).fetchall()


_STATE = """hash(
    status, holds, cause, late, type, errors, dead_letters, waits_for[2], waits_for[3], waits_for[4]
)"""
_EVERY = 1 << 40
