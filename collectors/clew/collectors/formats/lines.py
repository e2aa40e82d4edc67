"""The SELECT for lines that are JSON objects: the hot path.

Lines that fit a shape learned from the sample take the short way; all others take the
full one, which asks for every shared name. Both give the same Record: a test holds them
to it. The short way costs one extraction, one comparison and one concatenation per line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clew.collectors.formats.columns import COMPUTED, ColumnCompiler, Columns
from clew.collectors.formats.fields import JsonFields
from clew.collectors.formats.language import Format
from clew.collectors.formats.leftovers import patches, rest_of
from clew.collectors.formats.output import TYPES, UNIT, Source, final, with_items
from clew.collectors.formats.paths import Steps, json_path, quoted
from clew.collectors.formats.settings import Settings
from clew.collectors.formats.shapes import Shapes, learn
from clew.collectors.formats.templates import less, whole
from clew.collectors.formats.vocabulary import vocabulary

NOT_JSON = "not valid JSON"
NOT_OBJECT = "valid JSON, but not an object"
NOT_LOGFMT = "no key=value in it"

RAW = Source()


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

    def attributes(self) -> str:
        """SQL over ``shape``, NULL for what fits none."""
        taken = taken_by(self.columns)
        cases = [
            f"WHEN {number} THEN {less(shape, self.text_at, taken)}"
            for number, shape in enumerate(self.shapes.shapes, 1)
        ]
        return " ".join(cases)


def taken_by(columns: Columns) -> Callable[[Steps], str | None]:
    """Gives the SQL condition under which a column took what is at a place, None for never."""

    def condition(steps: Steps) -> str | None:
        conditions = [
            f"{one.sql} <> ''" for one in columns.key_claims if one.claimable and one.steps == steps
        ]
        for claim in columns.claims:
            for place, one in enumerate(claim.found, 1):
                if one.claimable and one.steps == steps:
                    own = f" AND {claim.index} = {place}" if claim.index else ""
                    conditions.append(f"({claim.condition}{own})")
        return " OR ".join(dict.fromkeys(conditions)) or None

    return condition


def compile_lines(
    format: Format,
    settings: Settings,
    sample: Sequence[str] = (),
    source: Source = RAW,
) -> str:
    """The SELECT of a format whose units are JSON objects that become one row each."""
    full = JsonFields(UNIT, "w", shared_column="shared" if format.vocabulary else None)
    # The unit is always read, to tell whether it is JSON.
    full.ask(UNIT, ("timestamp",))
    full_columns = ColumnCompiler(format, full, settings, "s").compile()
    asked = {steps for where in full.asked.values() for steps in where}
    full_columns.leave_whole(asked)
    short = _short(format, settings, sample, asked)
    layer = source.start()
    if short:
        for items in short.lookup.layers():
            layer = with_items(layer, items)
        layer = with_items(layer, [f"{short.shape()} AS shape"])
        full.when = f"shape = 0 AND {short.lookup.read()} IS NOT NULL"
        for named in (short.columns.texts, short.columns.values):
            layer = with_items(layer, [f"{sql} AS {name}" for name, sql in named.items()])
    layer = _containers(layer, full.when) if format.vocabulary else layer
    for items in full.layers():
        layer = with_items(layer, items)
    for named in (full_columns.texts, full_columns.values):
        layer = with_items(layer, [f"{sql} AS {name}" for name, sql in named.items()])
    layer = with_items(layer, [_column(name, full_columns, short) for name in COMPUTED])
    patched = patches("line", full_columns, "p")
    layer = with_items(
        layer, [f"{sql} AS {name}" for name, sql in patched.items()] + [f"{_reject(full, short)} AS reject"]
    )
    attributes = rest_of(UNIT, list(patched))
    keys = full_columns.keys
    if short:
        attributes = f"CASE shape {short.attributes()} ELSE {attributes} END"
        keys = f"CASE WHEN shape > 0 THEN {short.columns.keys} ELSE {keys} END"
    return final(layer, keys, attributes, source)


def _short(format: Format, settings: Settings, sample: Sequence[str], asked: set[Steps]) -> _Short | None:
    containers = vocabulary().containers if format.vocabulary else ()
    shapes = learn(sample, asked | {(outer, *steps) for outer in containers for steps in asked})
    if shapes is None:
        return None
    lookup = JsonFields(UNIT, "v", known=shapes.known, containers=containers)
    for steps in sorted(shapes.leaves, key=str):
        lookup.ask(UNIT, steps)
    columns = ColumnCompiler(
        format, lookup, settings, "f", plain=lambda one: shapes.plain(one.steps)
    ).compile()
    columns.leave_whole(asked)
    return _Short(shapes, lookup, columns)


def _column(name: str, full: Columns, short: _Short | None) -> str:
    sql = full.sql[name]
    if short and short.columns.sql[name] != sql:
        sql = f"CASE WHEN shape > 0 THEN {short.columns.sql[name]} ELSE {sql} END"
    return f"({sql})::{TYPES[name]} AS c_{name}"


def _containers(relation: str, when: str | None) -> str:
    """Adds ``shared``: the unit with the objects in which shared names hide merged below it."""
    names = vocabulary().containers
    listed = ", ".join(quoted(json_path((name,))) for name in names)
    extract = f"TRY(json_extract({UNIT}, [{listed}]))"
    unit = f"CASE WHEN {when} THEN {UNIT} END" if when else UNIT
    if when:
        extract = f"CASE WHEN {when} THEN {extract} END"
    # Merged from the last to the first, so that the first has the last word.
    merged = ", ".join(
        f"CASE WHEN starts_with(cj[{place}], '{{') THEN cj[{place}] ELSE '{{}}' END"
        for place in range(len(names), 0, -1)
    )
    merged = (
        f"CASE WHEN list_any_value(cj) IS NOT NULL THEN TRY(json_merge_patch({merged}, {UNIT}))::VARCHAR"
        f" ELSE {unit} END"
    )
    return f"SELECT *, {merged} AS shared FROM (SELECT *, {extract} AS cj FROM ({relation}))"


def _reject(full: JsonFields, short: _Short | None) -> str:
    read = short.lookup.read() if short else full.read()
    reason = (
        f"CASE WHEN {UNIT} IS NULL THEN {quoted(NOT_LOGFMT)} WHEN {read} IS NULL THEN {quoted(NOT_JSON)}"
        f" WHEN ltrim({UNIT}, E' \\t\\r\\n')[1] <> '{{' THEN {quoted(NOT_OBJECT)} END"
    )
    return f"CASE WHEN shape = 0 THEN {reason} END" if short else reason
