"""Which model flows are judged by: every question asks, and most stores have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def number_in_use(connection: duckdb.DuckDBPyConnection) -> int:
    """Number of the model that flows are judged by; 0 for none."""
    found = connection.execute("SELECT value FROM store.settings WHERE name = 'model'").fetchall()
    return int(found[0][0]) if found else 0


def put_in_use(connection: duckdb.DuckDBPyConnection, number: int) -> None:
    """Have flows judged by a model from now on; 0 by none."""
    connection.execute("DELETE FROM store.settings WHERE name = 'model'").fetchall()
    connection.execute("INSERT INTO store.settings VALUES ('model', ?)", [str(number)]).fetchall()
