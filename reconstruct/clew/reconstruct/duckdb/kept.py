"""What a store keeps of how it judges: the settings, and which model is in use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from clew.reconstruct.model import KeyClass, Settings

if TYPE_CHECKING:
    import duckdb


def keep_settings(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Judge by these from now on; the model in use stays."""
    from clew.reconstruct import definitions

    connection.execute("DELETE FROM store.settings WHERE name <> 'model'")
    connection.execute(
        "INSERT INTO store.settings VALUES ('key_classes', ?), ('definitions', ?), ('limit_us', ?), ('silent_us', ?)",
        [
            json.dumps({name: str(kind) for name, kind in settings.key_classes.items()}),
            definitions.to_json(settings.definitions),
            str(settings.limit_us),
            str(settings.silent_us),
        ],
    )


def kept_settings(connection: duckdb.DuckDBPyConnection) -> Settings:
    """What the store judges by; the defaults where nothing was kept."""
    stored = dict(
        connection.execute("SELECT name, value FROM store.settings WHERE name <> 'model'").fetchall()
    )
    if not stored:
        return Settings()
    from clew.reconstruct import definitions

    return Settings(
        key_classes={name: KeyClass(kind) for name, kind in json.loads(stored["key_classes"]).items()},
        definitions=definitions.from_json(stored["definitions"]),
        limit_us=int(stored["limit_us"]),
        # A store of an earlier clew keeps none.
        silent_us=int(stored.get("silent_us", Settings().silent_us)),
    )


def number_in_use(connection: duckdb.DuckDBPyConnection) -> int:
    """Number of the model that flows are judged by; 0 for none."""
    found = connection.execute("SELECT value FROM store.settings WHERE name = 'model'").fetchall()
    return int(found[0][0]) if found else 0


def put_in_use(connection: duckdb.DuckDBPyConnection, number: int) -> None:
    """Have flows judged by a model from now on; 0 by none."""
    connection.execute("DELETE FROM store.settings WHERE name = 'model'").fetchall()
    connection.execute("INSERT INTO store.settings VALUES ('model', ?)", [str(number)]).fetchall()
