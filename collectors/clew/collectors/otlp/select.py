"""The SELECT for the columns of :mod:`columns`: the later part of the format ``otlp``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clew.collectors.formats.settings import Settings

FROM_HERE: Final = "told AS ("
"""The first step of the format that is the same for both."""
_TEXT: Final = (
    "trace_id", "span_id", "parent_id", "trace_state", "name", "events", "links", "message", "severity_text",
    "event_name",
)  # fmt: skip
_NUMBER: Final = ("kind", "start_time", "end_time", "code", "log_time", "observed_time", "severity_number")
_STEPS: Final = f"""
  WITH resources AS (
    SELECT position, context, otlp_attributes(attributes) AS resource, nullif(scope, '{{}}') AS scope
    FROM (
      SELECT position, context, scope, json_extract(resource, '$.attributes') AS attributes
      FROM raw WHERE resource IS NOT NULL
    )
  ),
  contexts AS MATERIALIZED (
    SELECT position, context, resource ->> '$."service.name"' AS service,
      concat_ws(',', '"resource":' || nullif(resource, '{{}}'),
        '"scope":' || CASE WHEN contains(scope, '"key"') THEN otlp_plain(scope) ELSE scope END) AS around
    FROM resources
  ),
  flat AS (
    SELECT raw.position, contexts.service, contexts.around, NULL::VARCHAR AS bad, is_log,
      CASE WHEN flat IS NOT NULL AND json_valid(flat) THEN flat ELSE otlp_attributes(pairs) END AS attributes,
      {", ".join(_TEXT)}, {", ".join(f"{name}::VARCHAR AS {name}" for name in _NUMBER)},
      body::JSON AS body,
      CASE WHEN simple_body IS NOT NULL THEN [simple_body] WHEN starts_with(body, '{{"') THEN json_extract_string(body,
        ['$.stringValue', '$.intValue', '$.doubleValue', '$.boolValue', '$.bytesValue']) END AS simple_body
    FROM (SELECT * EXCLUDE attributes, attributes::JSON AS pairs FROM raw) AS raw
    JOIN contexts ON contexts.position = raw.position AND contexts.context = raw.context
  ),
"""


def protobuf_select(settings: Settings) -> str:
    """Decodes ``raw`` of :data:`clew.collectors.otlp.columns.SCHEMA` to the same Records as the same requests in JSON."""
    from clew.collectors.formats import named
    from clew.collectors.formats.caching import cached
    from clew.collectors.formats.flat import compile_rows
    from clew.collectors.formats.redaction import redacted

    format = named("otlp")
    (row,) = format.rows
    sql = row.sql or ""
    own = replace(format, rows=(replace(row, sql=_STEPS + sql[sql.index(FROM_HERE) :]),))
    select = cached(
        lambda: compile_rows(own, settings, "SELECT NULL::VARCHAR AS line, 0 AS position"),
        "protobuf",
        own,
        settings,
    )
    return redacted(select, settings.redaction)
