"""The SELECT for lines that are JSON objects: the hot path.

Lines that fit a shape learned from the sample take the short way; all others take the
full one, which asks for every shared name. Both give the same Record: a test holds them
to it. The short way costs one extraction, one comparison and one concatenation per line,
and is so much quicker to plan that the two are statements of their own where every line
is a record by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from clew.collectors.formats.caching import cached
from clew.collectors.formats.columns import COMPUTED, ColumnCompiler, Columns
from clew.collectors.formats.fields import JsonFields
from clew.collectors.formats.language import Format
from clew.collectors.formats.leftovers import patches, rest_of
from clew.collectors.formats.output import TYPES, UNIT, Source, final, with_items
from clew.collectors.formats.paths import Steps, json_path, quoted
from clew.collectors.formats.plans import Selects
from clew.collectors.formats.settings import Settings
from clew.collectors.formats.shapes import Shapes, learn
from clew.collectors.formats.templates import less, whole
from clew.collectors.formats.vocabulary import vocabulary

NOT_JSON = "not valid JSON"
NOT_OBJECT = "valid JSON, but not an object"
NOT_LOGFMT = "no key=value in it"

OTHER_SHAPE = "of another shape"

RAW = Source()

# An empty ID names nothing; a key's name never holds a quote.
_WITHOUT_BLANKS = """nullif(CASE WHEN contains(all_keys, ':""')
    THEN replace(regexp_replace(all_keys, '"[^"]*":""(,|(}))', '\\2', 'g'), ',}', '}') ELSE all_keys END, '{}')"""


def _full_keys(columns: Columns) -> str:
    return _WITHOUT_BLANKS if columns.blank_keys else "all_keys"


@dataclass(frozen=True, slots=True)
class _Short:
    """The short way: what the lines of known shapes hold."""

    shapes: Shapes
    lookup: JsonFields
    columns: Columns

    def text_at(self, steps: Steps) -> str:
        return self.lookup.ask(UNIT, steps)

    def shape(self) -> str:
        """SQL of the number of the shape that a line fits, 0 for none."""
        tests = [
            # Valid JSON that begins with a whole object goes on with white space only.
            f"WHEN starts_with({UNIT}, {whole(shape, self.text_at)}) THEN {number}"
            for number, shape in enumerate(self.shapes.shapes, 1)
        ]
        return f"CASE WHEN {self.lookup.read()} IS NULL THEN 0 {' '.join(tests)} ELSE 0 END"

    def read(self, source: Source) -> str:
        """The relation of what known shapes hold, with ``shape``; the unit only where it fits none."""
        layer = source.start()
        for items in self.lookup.layers():
            layer = with_items(layer, items)
        layer = with_items(layer, [f"{self.shape()} AS shape"])
        columns = [*self.lookup.names(), "position", "shape", *source.carried()]
        unit = UNIT if source.lenient else f"CASE WHEN shape = 0 THEN {UNIT} END AS {UNIT}"
        return f"SELECT {', '.join([*columns, unit])} FROM ({layer})"

    @staticmethod
    def reject(*, apart: bool) -> str:
        """SQL of why a row is left to the full way."""
        return f"CASE WHEN shape = 0 THEN {quoted(OTHER_SHAPE)} END" if apart else "NULL::VARCHAR"

    def way(self, source: Source, known: str, *, apart: bool) -> str:
        """The SELECT over ``known``, which is :meth:`read`, for the lines that fit a shape.

        With ``apart`` the others are marked instead of left out: a filter in the midst of
        an expression costs more than all that is computed in vain.
        """
        layer = f"SELECT *, {self.reject(apart=apart)} AS reject FROM {known}"
        for named in (self.columns.texts, self.columns.values):
            layer = with_items(layer, [f"{sql} AS {name}" for name, sql in named.items()])
        layer = with_items(layer, [_column(name, self.columns) for name in COMPUTED])
        taken = taken_by(self.columns)
        cases = [
            f"WHEN {number} THEN {less(shape, self.text_at, taken)}"
            for number, shape in enumerate(self.shapes.shapes, 1)
        ]
        layer = with_items(layer, [f"{self.columns.keys} AS all_keys"])
        layer = with_items(layer, [f"{_full_keys(self.columns)} AS full_keys"])
        attributes = (
            f"CASE shape {' '.join(cases)} END" if len(cases) > 1 else cases[0].partition(" THEN ")[2]
        )
        return final(layer, "full_keys", attributes, source)


def taken_by(columns: Columns) -> Callable[[Steps], str | None]:
    """Gives the SQL condition under which a column took what is at a place, None for never."""

    def condition(steps: Steps) -> str | None:
        conditions = [
            f"{one.sql} <> ''" for one in columns.key_claims if one.claimable and one.steps == steps
        ]
        for claim in columns.claims:
            conditions += [
                f"({claim.of(one)})" for one in claim.found if one.claimable and one.steps == steps
            ]
        return " OR ".join(dict.fromkeys(conditions)) or None

    return condition


def compile_lines(
    format: Format,
    settings: Settings,
    sample: Sequence[str] = (),
    source: Source = RAW,
    *,
    apart: bool = False,
) -> Selects:
    """The SELECTs of a format whose units are JSON objects that become one row each.

    ``apart`` says that a row of ``raw`` is decoded the same whatever stands beside it, so
    that the short way may go first and the full one take the rows that are left.
    """
    full = cached(lambda: _full(format, settings), "full", format, settings)
    containers = vocabulary().containers if format.vocabulary else ()
    shapes = learn(sample, full.asked | {(outer, *steps) for outer in containers for steps in full.asked})
    return cached(
        lambda: _select(format, settings, full, shapes, source, apart=apart),
        "lines",
        format,
        settings,
        shapes,
        source,
        apart,
    )


@dataclass(frozen=True, slots=True)
class _Full:
    """The full way: it asks for every shared name."""

    lookup: JsonFields
    columns: Columns
    asked: frozenset[Steps]


def _full(format: Format, settings: Settings) -> _Full:
    lookup = JsonFields(UNIT, "w", shared_column="shared" if format.vocabulary else None)
    # The unit is always read, to tell whether it is JSON.
    lookup.ask(UNIT, ("timestamp",))
    columns = ColumnCompiler(format, lookup, settings, "s").compile()
    asked = frozenset(steps for where in lookup.asked.values() for steps in where)
    columns.leave_whole(asked)
    return _Full(lookup, columns, asked)


def _select(
    format: Format, settings: Settings, full: _Full, shapes: Shapes | None, source: Source, *, apart: bool
) -> Selects:
    if shapes is None:
        return Selects(_full_way(format, full, source))
    short = _short(format, settings, shapes, full.asked)
    if apart:
        return Selects(
            _full_way(format, full, source), short.way(source, f"({short.read(source)})", apart=True)
        )
    # Materialized, so that lines are read once; a line itself goes on only where it is still needed.
    rest = replace(source, relation=f"SELECT * EXCLUDE ({UNIT}), {UNIT} AS line FROM known WHERE shape = 0")
    return Selects(
        f"WITH known AS MATERIALIZED ({short.read(source)}) {short.way(source, '(FROM known WHERE shape > 0)', apart=False)}"
        f" UNION ALL {_full_way(format, full, rest)}"
    )


def _full_way(format: Format, full: _Full, source: Source) -> str:
    lookup, columns = full.lookup, full.columns
    layer = source.start()
    layer = _containers(layer) if format.vocabulary else layer
    for items in lookup.layers():
        layer = with_items(layer, items)
    for named in (columns.texts, columns.values):
        layer = with_items(layer, [f"{sql} AS {name}" for name, sql in named.items()])
    layer = with_items(layer, [_column(name, columns) for name in COMPUTED])
    layer = with_items(layer, [f"{columns.keys} AS all_keys"])
    layer = with_items(layer, [f"{_full_keys(columns)} AS full_keys"])
    patched = patches("line", columns, "p", "full_keys")
    items = [f"{sql} AS {name}" for name, sql in patched.items()]
    layer = with_items(layer, [*items, f"{_reject(lookup)} AS reject"])
    return final(layer, "full_keys", rest_of(UNIT, list(patched)), source)


def _short(format: Format, settings: Settings, shapes: Shapes, asked: frozenset[Steps]) -> _Short:
    containers = vocabulary().containers if format.vocabulary else ()
    lookup = JsonFields(UNIT, "v", known=shapes.known, containers=containers)
    for steps in sorted(shapes.leaves, key=str):
        lookup.ask(UNIT, steps)
    columns = ColumnCompiler(
        format, lookup, settings, "f", plain=lambda one: shapes.plain(one.steps)
    ).compile()
    columns.leave_whole(asked)
    return _Short(shapes, lookup, columns)


def _column(name: str, columns: Columns) -> str:
    return f"({columns.sql[name]})::{TYPES[name]} AS c_{name}"


def _containers(relation: str) -> str:
    """Adds ``shared``: the unit with the objects in which shared names hide merged below it."""
    names = vocabulary().containers
    listed = ", ".join(quoted(json_path((name,))) for name in names)
    # Merged from the last to the first, so that the first has the last word.
    merged = ", ".join(
        f"CASE WHEN starts_with(cj[{place}], '{{') THEN cj[{place}] ELSE '{{}}' END"
        for place in range(len(names), 0, -1)
    )
    merged = (
        f"CASE WHEN list_any_value(cj) IS NOT NULL THEN TRY(json_merge_patch({merged}, {UNIT}))::VARCHAR"
        f" ELSE {UNIT} END"
    )
    extract = f"TRY(json_extract({UNIT}, [{listed}]))"
    return f"SELECT *, {merged} AS shared FROM (SELECT *, {extract} AS cj FROM ({relation}))"


def _reject(full: JsonFields) -> str:
    return (
        f"CASE WHEN {UNIT} IS NULL THEN {quoted(NOT_LOGFMT)} WHEN {full.read()} IS NULL THEN {quoted(NOT_JSON)}"
        f" WHEN ltrim({UNIT}, E' \\t\\r\\n')[1] <> '{{' THEN {quoted(NOT_OBJECT)} END"
    )
