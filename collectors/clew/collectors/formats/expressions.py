"""SQL that turns a found text into a column's value. The same SQL serves every format."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from clew.collectors.formats.language import Convert
from clew.collectors.formats.paths import quoted

COLUMN_CONVERTS: dict[str, Convert] = {
    "time": Convert.TIME,
    "end_time": Convert.TIME,
    "trace_id": Convert.HEX,
    "span_id": Convert.HEX,
    "parent_span_id": Convert.HEX,
    "severity": Convert.SEVERITY,
    "operation": Convert.OPERATION,
    "span_kind": Convert.LOWER,
    "partition": Convert.INTEGER,
    "offset": Convert.INTEGER,
    "attempt": Convert.INTEGER,
}
"""What a column does with a text unless its field says otherwise."""

_INTEGER_TYPES = {"partition": "INTEGER", "attempt": "INTEGER"}

_SEVERITIES: dict[str, str] = {
    # Names first, the commonest first of all: a CASE is searched in order.
    **dict.fromkeys(("INFO", "info", "Information", "information", "Info", "notice", "NOTICE", "Notice", "INF"), "INFO"),
    **dict.fromkeys(("DEBUG", "debug", "Debug", "FINE", "fine", "CONFIG", "config", "DBG"), "DEBUG"),
    **dict.fromkeys(("WARN", "warn", "WARNING", "warning", "Warning", "Warn", "WRN", "W"), "WARN"),
    **dict.fromkeys(("ERROR", "error", "Error", "ERR", "err", "SEVERE", "severe", "E"), "ERROR"),
    **dict.fromkeys(
        (
            "FATAL", "fatal", "Fatal", "CRITICAL", "critical", "Critical", "CRIT", "crit", "ALERT", "alert",
            "EMERG", "emerg", "EMERGENCY", "emergency", "PANIC", "panic", "dpanic", "FTL", "F",
        ),
        "FATAL",
    ),
    **dict.fromkeys(
        (
            "TRACE", "trace", "Trace", "VERBOSE", "verbose", "Verbose", "VRB", "FINER", "FINEST", "finer", "finest",
            "SILLY", "silly",
        ),
        "TRACE",
    ),
    "I": "INFO",
    "D": "DEBUG",
    # pino, bunyan and python-json-logger's levelno agree from 10 to 60 but for what 10 means.
    "30": "INFO", "20": "DEBUG", "40": "WARN", "50": "ERROR", "60": "FATAL", "10": "TRACE",
    # syslog severities, as journald's PRIORITY writes them (RFC 5424, 6.2.1).
    "0": "FATAL", "1": "FATAL", "2": "FATAL", "3": "ERROR", "4": "WARN", "5": "INFO", "6": "INFO", "7": "DEBUG",
}  # fmt: skip

_OPERATIONS = {
    "send": "send", "publish": "send", "produce": "send", "process": "process", "deliver": "process",
    "consume": "process", "handle": "process", "receive": "receive", "poll": "receive", "create": "create",
    "settle": "settle", "ack": "settle", "commit": "settle", "nack": "settle",
}  # fmt: skip
"""Both generations of OpenTelemetry's operation names, and the words that brokers' clients use."""

_ZONED = r"\d:\d\d(:\d\d)?([.,]\d+)? ?([+-]\d\d(:?\d\d)?|Z|z|UTC|GMT)$"
_NUMBER = r"^-?\d+(\.\d+)?$"

_NAIVE_FORMATS = (
    "%d/%b/%Y:%H:%M:%S",
    "%d/%b/%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M:%S.%f",
    "%a %b %d %H:%M:%S %Y",
    "%d %b %Y %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%m/%d/%Y %H:%M:%S",
)
_ZONED_FORMATS = ("%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z")


def converted(  # noqa: PLR0911  one way out for each sort of value
    column: str,
    text: str,
    convert: Convert | None,
    *,
    zone: str,
    formats: Sequence[str] = (),
    year: int | None = None,
) -> str:
    """The column's value from an SQL expression of type VARCHAR."""
    convert = convert or COLUMN_CONVERTS.get(column, Convert.TEXT)
    match convert:
        case Convert.TEXT:
            return text
        case Convert.TIME:
            return time(text, zone, formats, year)
        case Convert.EPOCH_S | Convert.EPOCH_MS | Convert.EPOCH_US | Convert.EPOCH_NS:
            return _epoch(text, convert)
        case Convert.SEVERITY:
            return mapped(text, _SEVERITIES)
        case Convert.OPERATION:
            return mapped(f"lower({text})", _OPERATIONS)
        case Convert.HEX:
            return _hexadecimal(text)
        case Convert.LOWER:
            return f"lower({text})"
        case Convert.INTEGER:
            return f"TRY_CAST({text} AS {_INTEGER_TYPES.get(column, 'BIGINT')})"


def mapped(text: str, values: dict[str, str], otherwise: str = "NULL") -> str:
    """``CASE text WHEN …``."""
    whens = " ".join(f"WHEN {quoted(key)} THEN {quoted(value)}" for key, value in values.items())
    return f"CASE {text} {whens} ELSE {otherwise} END"


def time(text: str, zone: str, formats: Sequence[str] = (), year: int | None = None) -> str:
    """A TIMESTAMP in UTC from ISO 8601, an epoch of any magnitude, or a usual log time.

    Times beyond what a TIMESTAMP holds are NULL. DuckDB's cast to TIMESTAMP ignores an
    offset, so zoned texts go by TIMESTAMPTZ; neither depends on the session's zone.
    """
    dotted = f"replace({text}, ',', '.')"
    listed = "[" + ", ".join(map(quoted, _NAIVE_FORMATS)) + "]"
    zoned_listed = "[" + ", ".join(map(quoted, _ZONED_FORMATS)) + "]"
    close = f"regexp_replace({dotted}, ' ([+-][0-9:]+)$', '\\1')"
    zoned = (
        f"coalesce(TRY_CAST({dotted} AS TIMESTAMPTZ), TRY_CAST({close} AS TIMESTAMPTZ),"
        f" TRY_STRPTIME({text}, {zoned_listed}))"
    )
    guess = (
        f"CASE WHEN ends_with({text}, 'Z') THEN TRY_CAST({text} AS TIMESTAMP)"
        f" WHEN regexp_matches({text}, {quoted(_NUMBER)}) THEN {_epoch(text, None)}"
        f" WHEN regexp_matches({text}, {quoted(_ZONED)}) THEN make_timestamp(epoch_us({zoned}))"
        f" ELSE {_local(f'coalesce(TRY_CAST({dotted} AS TIMESTAMP), TRY_STRPTIME({text}, {listed}))', zone)} END"
    )
    if not formats:
        return guess
    given = ", ".join(_given(text, one, zone, year) for one in formats)
    return f"coalesce({given}, {guess})"


def _given(text: str, format: str, zone: str, year: int | None) -> str:
    if "%z" in format:
        return f"make_timestamp(epoch_us(TRY_STRPTIME({text}, {quoted(format)})))"
    if "%Y" in format or "%y" in format:
        return _local(f"TRY_STRPTIME({text}, {quoted(format)})", zone)
    # A time that states no year is of the given one, or else of the last twelve months.
    now = datetime.now(UTC)
    dated = f"TRY_STRPTIME('{year or now.year} ' || {text}, {quoted('%Y ' + format)})"
    if year is None:
        tomorrow = (now + timedelta(days=1)).strftime("%Y-%m-%d %H:%M:%S")
        dated = (
            f"CASE WHEN {dated} > TIMESTAMP '{tomorrow}'"
            f" THEN TRY_STRPTIME('{now.year - 1} ' || {text}, {quoted('%Y ' + format)}) ELSE {dated} END"
        )
    return _local(dated, zone)


def _local(naive: str, zone: str) -> str:
    finite = f"CASE WHEN isfinite({naive}) THEN {naive} END"
    if zone.upper() in {"UTC", "Z", "ETC/UTC", "GMT"}:
        return finite
    return f"TRY(make_timestamp(epoch_us(timezone({quoted(zone)}, {finite}))))"


def _epoch(text: str, unit: Convert | None) -> str:
    """Microseconds by unit, or by magnitude: seconds reach 1e11 in the year 5138."""
    whole = f"TRY_CAST({text} AS BIGINT)"
    decimal = f"TRY_CAST({text} AS DECIMAL(38, 9))"
    match unit:
        case Convert.EPOCH_S:
            micros = f"CAST(floor({decimal} * 1000000) AS BIGINT)"
        case Convert.EPOCH_MS:
            micros = f"CAST(floor({decimal} * 1000) AS BIGINT)"
        case Convert.EPOCH_US:
            micros = whole
        case Convert.EPOCH_NS:
            micros = f"{whole} // 1000"
        case _:
            micros = (
                f"CASE WHEN {decimal} < 100000000000 THEN CAST(floor({decimal} * 1000000) AS BIGINT)"
                f" WHEN {decimal} < 100000000000000 THEN CAST(floor({decimal} * 1000) AS BIGINT)"
                f" WHEN {decimal} < 100000000000000000 THEN CAST(floor({decimal}) AS BIGINT)"
                f" ELSE {whole} // 1000 END"
            )
    return f"TRY(make_timestamp({micros}))"


def _hexadecimal(text: str) -> str:
    """In lower case, without the ``0x`` of a number; zeros are no ID."""
    zeros = ", ".join(quoted("0" * length) for length in (0, 16, 32))
    return (
        f"CASE WHEN {text} IN ({zeros}) THEN NULL"
        f" WHEN starts_with({text}, '0x') THEN CASE WHEN ltrim({text}, '0x') <> '' THEN lower(substr({text}, 3)) END"
        f" WHEN {text} = lower({text}) THEN {text}"
        f" WHEN regexp_full_match({text}, '[0-9A-Fa-f-]+') THEN lower({text}) ELSE {text} END"
    )
