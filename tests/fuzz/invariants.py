"""What must hold whatever an input holds."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from tests.files.reading import Reading

from clew.collectors.errors import CollectError
from clew.collectors.files.framing import framing
from clew.collectors.files.streams import packing
from clew.collectors.formats import recognise
from clew.collectors.record import RECORD_COLUMNS, Batch, Kind, Operation

ALLOWED: dict[str, frozenset[str | None]] = {
    "kind": frozenset(Kind),
    "operation": frozenset({*Operation, None}),
    "status": frozenset({"ok", "error", "unset", None}),
    "outcome": frozenset({"completed", "failed", "cancelled", None}),
    "severity": frozenset({"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", None}),
}
JSON = {"keys": dict, "attributes": dict, "links": list}
IDS = ("event_id", "correlation_id", "correlation_key", "trace_id", "span_id", "parent_span_id")

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_WORD = re.compile(r"[a-z]{4,}")
_ANSI = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")
_SAID_OTHERWISE = frozenset(
    ["stdout", "stderr", "info", "information", "notice", "warn", "warning", "error", "severe", "fatal", "critical",
     "crit", "alert", "emerg", "debug", "trace"]
)  # fmt: skip
"""Words that become something else, or nothing."""

_TEXTS = frozenset({"text", "cri/text", "cri/plain", "compose/text", "compose/plain"})
_LISTS = ("resourceSpans", "resourceLogs", "data", "spans", "events")
_YEAR_US = 365.2425 * 86_400e6
_TABLES = frozenset({"csv", "csv-semicolon", "tsv"})
_NUL_RUN = re.compile(r"([\d,]+) lines from here on hold NUL bytes")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Decoding:
    """Units and what became of them."""

    format: str
    units: Mapping[int, str]
    rows: Sequence[Row]
    rowwise: bool

    @classmethod
    def of(cls, select: str, raw: pa.Table, format: str, *, rowwise: bool) -> Decoding:
        """Run a SELECT. Times are in microseconds of the epoch: not every one fits a datetime."""
        names = (*RECORD_COLUMNS, "reject")
        times = {"time", "end_time"}
        items = [f'epoch_us("{name}") AS "{name}"' if name in times else f'"{name}"' for name in names]
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.register("raw", raw)
            found = connection.execute(f"SELECT {', '.join(items)} FROM ({select})").fetchall()
        positions = [int(place) for place in raw["position"].to_numpy()]
        units = dict(zip(positions, map(str, raw["line"].to_pylist()), strict=True))
        return cls(format, units, [dict(zip(names, row, strict=True)) for row in found], rowwise)

    def check(self) -> None:
        """Every unit became something, and every Record is sound."""
        for row in self.rows:
            assert row["position"] in self.units, row
            if row["reject"] is not None:
                assert row["body"], ("a reject without its text", self.format, row)
            else:
                self._check_record(row)
        if self.rowwise:
            there = {row["position"] for row in self.rows}
            for place, unit in self.units.items():
                assert place in there or self._may_vanish(unit), ("vanished", self.format, unit)
        elif self.format in _TEXTS:
            self._check_words()
        else:
            assert self.rows or all(map(self._may_vanish, self.units.values())), ("vanished", self.format)

    def _check_record(self, row: Row) -> None:
        for name, allowed in ALLOWED.items():
            assert row[name] in allowed, (self.format, name, row[name])
        for name, type in JSON.items():
            assert row[name] is None or is_json(row[name], type), (self.format, name, row[name])
        for name in IDS:
            assert row[name] != "", (self.format, name, row)
        units = [self.units[row["position"]]] if self.rowwise else list(self.units.values())
        for name in ("time", "end_time"):
            micros = row[name]
            assert micros is None or any(is_said(micros, unit) for unit in units), (self.format, name, micros)

    def _may_vanish(self, unit: str) -> bool:
        *around, name = self.format.split("/")
        first = self.units[min(self.units)].strip("\ufeff\r\n")
        header = name in _TABLES and (bool(around) or unit.strip("\ufeff\r\n") == first)
        return header or is_empty(unit)

    def _check_words(self) -> None:
        left = _ANSI.sub("", repr(self.rows).lower())
        for unit in self.units.values():
            for word in _WORD.findall(_ANSI.sub("", unit).lower()):
                assert word in left or word in _SAID_OTHERWISE, ("vanished", self.format, word, unit)


def is_json(text: str, type: type) -> bool:
    """Whether it is JSON of that type; what nests deeper than Python follows is trusted."""
    try:
        return isinstance(json.loads(text), type)
    except RecursionError:
        return True
    except ValueError:
        return False


def is_empty(unit: str) -> bool:
    """Whether it is a document that says of itself that it holds nothing, or no document at all."""
    try:
        found = json.loads(unit)
        said = isinstance(found, dict) and any(found.get(name) == [] for name in _LISTS)
        return said or _holds_nothing(found)
    except (ValueError, RecursionError):
        return not unit.strip()


def _holds_nothing(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_holds_nothing, value.values()))
    return isinstance(value, list) and all(map(_holds_nothing, value))


def is_said(micros: int, text: str) -> bool:
    """Whether a text can mean this time: as an epoch, one and a duration, or by its year or lack of one."""
    told = {float(number) for number in _NUMBER.findall(text)}
    epochs = [number * unit for number in told for unit in (1e6, 1e3, 1, 1e-3)]
    near = 1e3 + abs(micros) * 1e-12
    if any(abs(epoch - abs(micros)) <= near for epoch in epochs):
        return True
    # A duration in microseconds, or nanoseconds beside the seconds.
    steps = [number * unit for number in told for unit in (1, -1, 1e-3)]
    if any(abs(epoch + step - micros) <= near for epoch in epochs for step in steps):
        return True
    # A zone may turn the year.
    year = int(1970 + micros / _YEAR_US // 1)
    if year < 1 and "(BC)" in text:
        return True
    if any(str(one) in text or f"{one % 100:02d}/" in text for one in (year - 1, year, year + 1)):
        return True
    # What states no year is of the last twelve months.
    recent = abs(micros - time.time() * 1e6) < 1.02 * _YEAR_US
    return recent and re.search(r"[A-Z][a-z]{2} [ \d]\d ", text) is not None


def check_lines(lines: Sequence[str]) -> None:
    """Recognise, select, records: for units as the files' reader gives them."""
    units = [line for line in lines if line]
    try:
        plan = recognise(units[:200])
    except CollectError:
        return
    raw = pa.table({"line": pa.array(units, pa.string_view()), "position": range(1, len(units) + 1)})
    Decoding.of(plan.select, raw, plan.format, rowwise=plan.multiline is None).check()
    assert 0 <= plan.complete(pa.array(units, pa.string())) <= len(units)


def check_file(data: bytes, step: int) -> None:
    """The whole collector: whatever is in a file becomes Records or rejects, whatever the size of its batches."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "input"
        file.write_bytes(data)
        whole, reading = _read(file, batch_bytes=128 << 20)
        for one in whole:
            one.check()
        if not packing(data[:6]) and framing(data[: 1 << 20]) == "lines":
            _check_numbers(data, whole, reading)
        again = reading.read(file, format=None)
        assert not again.lines
        assert not again.rejects
        # Each batch plans its SELECT anew.
        pieces, other = _read(file, batch_bytes=max(step, len(data) // 20))
    if (
        not reading.rejects
        and not other.rejects
        and {one.format for one in whole} == {one.format for one in pieces}
    ):
        assert _rows(whole) == _rows(pieces)


def _read(file: Path, *, batch_bytes: int) -> tuple[list[Decoding], Reading]:
    reading = Reading().read(file, format=None, batch_bytes=batch_bytes)
    assert not reading.problem
    for reject in reading.rejects:
        assert reject.reason
        assert len(reject.raw) <= 4096
    together: dict[tuple[str, int], list[Batch]] = {}
    for number, batch in enumerate(reading.batches):
        if batch.raw is not None:
            together.setdefault((batch.select, 0 if batch.rowwise else number), []).append(batch)
    return [_decoded(batches) for batches in together.values()], reading


def _decoded(batches: Sequence[Batch]) -> Decoding:
    raw = pa.concat_tables([batch.raw for batch in batches if batch.raw is not None])
    return Decoding.of(batches[0].select, raw, batches[0].format, rowwise=batches[0].rowwise)


def _rows(decodings: Sequence[Decoding]) -> list[str]:
    return sorted(repr(row) for one in decodings for row in one.rows)


def _check_numbers(data: bytes, decodings: Sequence[Decoding], reading: Reading) -> None:
    """Every line that is not empty is a unit or a reject."""
    if not decodings:
        assert reading.rejects or not data.strip(b"\r\n\xef\xbb\xbf")
        return
    accounted = {place for one in decodings for place in one.units}
    for reject in [reject for batch in reading.batches for reject in batch.rejects]:
        run = _NUL_RUN.match(reject.reason)
        accounted |= set(
            range(reject.position, reject.position + (int(run[1].replace(",", "")) if run else 1))
        )
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        assert not line.removesuffix(b"\r") or number in accounted, (number, line)
