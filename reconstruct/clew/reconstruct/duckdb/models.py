"""Models in a store: numbered snapshots of what was learned, one of which flows are judged by.

``store.models`` has what ``clew learn`` found, ``store.transitions`` what leads to what and how
long it takes, by model (:class:`~clew.reconstruct.learned.Transition`); the number of the model in
use is the setting ``model``, 0 for none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clew.reconstruct import definitions
from clew.reconstruct.duckdb.kept import number_in_use
from clew.reconstruct.duckdb.learned_times import to_transition
from clew.reconstruct.duckdb.querying import utc
from clew.reconstruct.learned import Asked, LearnedEnd, LearnedStep, LearnedType, Model, Transition
from clew.reconstruct.reports import Spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from clew.reconstruct.definitions import Definition


def models(connection: duckdb.DuckDBPyConnection, number: int | None = None) -> list[Model]:
    """Every model, the newest first; or the one of that number."""
    in_use = number_in_use(connection)
    rows = connection.execute(
        "SELECT number, learned, made_by, body FROM store.models WHERE number = coalesce($number, number) "
        "ORDER BY number DESC",
        {"number": number},
    ).fetchall()
    return [_model(*row, in_use=in_use) for row in rows]


def keep(connection: duckdb.DuckDBPyConnection, model: Model, transitions: Sequence[Transition]) -> None:
    """Store a model with the transitions that it was learned from."""
    connection.execute(
        "INSERT INTO store.models VALUES (?, ?, ?, ?)",
        [model.number, model.learned.replace(tzinfo=None), model.made_by, _body(model)],
    ).fetchall()
    rows = [
        {
            "model": model.number,
            **{name: getattr(one, name) for name in ("type", "event", "emitter", "follower", "service")},
            "flows": one.flows,
            "share": one.share,
            **{
                key: value
                for name in ("took", "wait", "work")
                for key, value in _columns(name, getattr(one, name)).items()
            },
        }
        for one in transitions
    ]
    if rows:
        import pyarrow as pa

        table = pa.Table.from_pylist(rows, schema=_arrow())
        connection.register("learned_transitions", table)
        connection.execute(
            "INSERT INTO store.transitions BY NAME SELECT * FROM learned_transitions"
        ).fetchall()
        connection.unregister("learned_transitions")


def keep_others(
    connection: duckdb.DuckDBPyConnection, before: int, number: int, types: Sequence[str]
) -> None:
    """Copy an earlier model's transitions of these types to a new one."""
    connection.execute(
        "INSERT INTO store.transitions SELECT $number, * EXCLUDE (model) FROM store.transitions "
        "WHERE model = $before AND list_contains($types::VARCHAR[], type)",
        {"number": number, "before": before, "types": list(types)},
    ).fetchall()


def transitions(connection: duckdb.DuckDBPyConnection, type: str | None) -> list[Transition]:
    """Those of the model in use."""
    rows = connection.execute(
        """
        SELECT * EXCLUDE (model) FROM store.transitions WHERE model = $model AND type = coalesce($type, type)
        ORDER BY type, event, emitter, flows DESC, follower, service
        """,
        {"model": number_in_use(connection), "type": type},
    ).fetchall()
    return [one for row in rows if (one := to_transition(row)) is not None]


def effective(written: Sequence[Definition], learned: Sequence[Definition]) -> tuple[Definition, ...]:
    """The definitions that flows are judged by: written ones win over learned ones of their name or start."""
    names = {definition.name for definition in written}
    starts = {event for definition in written for event in definition.start}
    free = [one for one in learned if one.name not in names and starts.isdisjoint(one.start)]
    return (*written, *free)


def _columns(name: str, spread: Spread | None) -> dict[str, Any]:
    quantiles = None if spread is None else [spread.p50_us, spread.p95_us, spread.p99_us]
    return {f"{name}_count": spread.count if spread else 0, name: quantiles}


def _arrow() -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    fields: list[tuple[str, Any]] = [
        ("model", pa.int32()),
        *((name, text) for name in ("type", "event", "emitter", "follower", "service")),
    ]
    fields += [("flows", number), ("share", pa.float64())]
    for name in ("took", "wait", "work"):
        fields += [(f"{name}_count", number), (name, pa.list_(number))]
    return pa.schema(fields)


def _body(model: Model) -> str:
    types = [
        {**asdict(replace(one, definition=None)), "definition": definitions.to_json((one.definition,))}
        if one.definition is not None
        else asdict(one)
        for one in model.types
    ]
    return json.dumps({"asked": asdict(model.asked), "types": types}, default=_text)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _model(number: int, learned: datetime, made_by: str, body: str, *, in_use: int) -> Model:
    kept = json.loads(body)
    return Model(
        number=number,
        learned=learned.replace(tzinfo=UTC),
        made_by=made_by,
        asked=_asked(kept["asked"]),
        types=tuple(_type(one) for one in kept["types"]),
        current=number == in_use,
    )


def _asked(kept: dict[str, Any]) -> Asked:
    times = {name: kept[name] and utc(datetime.fromisoformat(kept[name])) for name in ("since", "until")}
    return Asked(**{**kept, **times, "types": tuple(kept["types"])})


def _type(kept: dict[str, Any]) -> LearnedType:
    definition = kept["definition"]
    steps = tuple(LearnedStep(**{**step, "took": _spread(step["took"])}) for step in kept["steps"])
    return LearnedType(
        **{
            **kept,
            "definition": definition and definitions.from_json(definition)[0],
            "steps": steps,
            "ends": tuple(LearnedEnd(**end) for end in kept["ends"]),
            "duration": _spread(kept["duration"]),
        }
    )


def _spread(kept: dict[str, int] | None) -> Spread | None:
    return None if kept is None else Spread(**kept)
