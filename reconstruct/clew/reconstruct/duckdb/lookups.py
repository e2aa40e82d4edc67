"""Rows by the value of one column, out of millions.

DuckDB prunes a scan by ``column = value`` and little by ``column IN (values)``: over
500,000 flows the one takes 0.5 ms and the other 6 ms. So a few values are asked for
one by one.
"""

from __future__ import annotations

from collections.abc import Iterable

FEW = 16
"""Values beyond which one scan of all rows is cheaper than a scan for each."""


def having(columns: str, table: str, column: str, values: Iterable[str]) -> str:
    """A SELECT of ``columns`` of the rows of ``table`` whose ``column`` is one of ``values``.

    ``values`` are SQL expressions of constants; one that is there twice is asked for once.
    """
    wanted = list(dict.fromkeys(values))
    if not wanted or len(wanted) > FEW:
        listed = ", ".join(wanted) or "NULL"
        return f"SELECT {columns} FROM {table} WHERE {column} IN ({listed})"
    return " UNION ALL ".join(f"SELECT {columns} FROM {table} WHERE {column} = {value}" for value in wanted)


def of_flows(table: str, flows: str) -> str:
    """A SELECT of the rows of ``table`` whose flow is one of ``flows``.

    A join reads every column of all rows; by the row's number those of the wanted ones are read.
    """
    return f"FROM {table} WHERE rowid IN (SELECT rowid FROM {table} SEMI JOIN {flows} USING (flow))"


def of_flow(table: str, flow: int) -> str:
    """:func:`of_flows` for one: a filter, too, begins with every column of all rows."""
    return f"FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE flow = {flow})"
