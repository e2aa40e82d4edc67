"""Requests in protobuf as columns of spans and log records, for the SELECT of :mod:`select`.

What is usual is read by arrays (:mod:`fields`, :mod:`texts`): IDs, names, times, attributes
that are strings, integers or truth values. What is not, such as lists, maps, events and
links, is written as OTLP JSON (:mod:`wire`) and read as that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from clew.collectors.otlp.fields import MARGIN, Fields, fields, varint
from clew.collectors.otlp.requests import Signal
from clew.collectors.otlp.texts import Pool, fixed64, hexadecimal, must_escape, strings
from clew.collectors.otlp.wire import BYTES, FIXED64, VARINT, Malformed, double_text, next_field, to_json

if TYPE_CHECKING:
    from clew.collectors.otlp.fields import Bytes, Places
    from clew.collectors.otlp.texts import Mask

Numbered = tuple[int, Signal, bytes]
"""A request: its number, what it carries, its body."""

PART_BYTES: Final = 1 << 20
"""Of bodies read at once, so that the arrays stay in the processor's caches."""
MOST_ITEMS: Final = 200_000
"""Spans or log records in one request."""
_MORE: Final = 0x80
_TEXTS: Final = (
    "resource", "scope", "trace_id", "span_id", "parent_id", "trace_state", "name", "flat", "attributes", "events",
    "links", "message", "severity_text", "event_name", "body", "simple_body",
)  # fmt: skip
_TYPES: Final[dict[str, pa.DataType]] = {
    "position": pa.int64(),
    "context": pa.int64(),
    "is_log": pa.bool_(),
    **dict.fromkeys(("kind", "code", "severity_number"), pa.int32()),
    **dict.fromkeys(("start_time", "end_time", "log_time", "observed_time"), pa.uint64()),
    **dict.fromkeys(_TEXTS, pa.string()),
}
SCHEMA: Final = pa.schema(_TYPES)
_STRING, _BOOL, _INT, _DOUBLE = 0x0A, 0x10, 0x18, 0x21
"""Tags of AnyValue's simple values."""
_KEY, _VALUE = 0x0A, 0x12
"""Tags of KeyValue's two fields."""


@dataclass(slots=True)
class _Items:
    """Where spans or log records lie, and to what each belongs."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    context: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Contexts:
    """A resource and a scope, for the items beneath them."""

    position: list[int] = field(default_factory=list)
    resource: list[str] = field(default_factory=list)
    scope: list[str] = field(default_factory=list)


def table(requests: Sequence[Numbered]) -> pa.Table:
    """One row for each item, with the number of its request as ``position``.

    The first item of each resource and scope has their JSON in ``resource`` and ``scope``;
    ``context`` says which items of a request share them.

    Raises:
        Malformed: one of the requests is no such message.
    """
    parts: list[pa.Table] = []
    some: list[Numbered] = []
    size = 0
    for request in requests:
        some.append(request)
        size += len(request[2])
        if size > PART_BYTES:
            parts += _tables(some)
            some, size = [], 0
    parts += _tables(some)
    if not parts:
        return SCHEMA.empty_table()
    return pa.concat_tables(parts)


def _tables(requests: Sequence[Numbered]) -> list[pa.Table]:
    """At most one of spans and one of log records."""
    buffer = np.frombuffer(b"".join([*(body for _, _, body in requests), bytes(MARGIN)]), np.uint8)
    contexts = _Contexts()
    found = {Signal.TRACES: _Items(), Signal.LOGS: _Items()}
    at = 0
    for number, signal, body in requests:
        _outline(number, signal, body, at, contexts, found[signal])
        at += len(body)
    return [
        _whole(make(buffer, items, contexts))
        for make, items in ((_spans, found[Signal.TRACES]), (_logs, found[Signal.LOGS]))
        if items.starts
    ]


def _whole(columns: dict[str, pa.Array[Any]]) -> pa.Table:
    """All columns of the schema, those that are not given NULL."""
    count = len(columns["position"])
    return pa.table([columns.get(each.name, pa.nulls(count, each.type)) for each in SCHEMA], schema=SCHEMA)


def _outline(number: int, signal: Signal, body: bytes, base: int, contexts: _Contexts, items: _Items) -> None:
    """Find the resources, scopes and items of a request; one step for each."""
    before = len(items.starts)
    for start, end in _parts(body, 0, len(body), 1):
        resource = b"".join(body[a:b] for a, b in _parts(body, start, end, 1))
        resource_json = to_json(resource, "Resource") if resource else "{}"
        for scope_start, scope_end in _parts(body, start, end, 2):
            scope = b"".join(body[a:b] for a, b in _parts(body, scope_start, scope_end, 1))
            context = len(contexts.position)
            contexts.position.append(number)
            contexts.resource.append(resource_json)
            contexts.scope.append(to_json(scope, "InstrumentationScope") if scope else "{}")
            inside = _parts(body, scope_start, scope_end, 2)
            items.starts += [base + a for a, _ in inside]
            items.ends += [base + b for _, b in inside]
            items.context += [context] * len(inside)
        if len(items.starts) - before > MOST_ITEMS:
            raise Malformed(f"more than {MOST_ITEMS:,} {signal}: send smaller batches")


def _parts(body: bytes, at: int, end: int, wanted: int) -> list[tuple[int, int]]:
    """Start and end of each message in the field ``wanted``."""
    found: list[tuple[int, int]] = []
    while at < end and len(found) <= MOST_ITEMS:
        # A tag and a size of one or two bytes, read here: there is one for each span.
        tag = body[at]
        if tag & 0x87 == BYTES and at + 2 < end:
            size = body[at + 1]
            start = at + 2
            if size >= _MORE and body[start] < _MORE:
                size = size & 0x7F | body[start] << 7
                start += 1
            if size < 1 << 14 and (body[at + 1] < _MORE or start == at + 3):
                at = start + size
                if at > end or not tag >> 3:
                    raise Malformed("it ends within a field: cut off, or damaged")
                if tag >> 3 == wanted:
                    found.append((start, at))
                continue
        number, wire, start, at, _ = next_field(body, at, end)
        if number == wanted and wire == BYTES:
            found.append((start, at))
    if len(found) > MOST_ITEMS:
        raise Malformed(f"more than {MOST_ITEMS:,} messages in one: send smaller batches")
    return found


class _Message:
    """Spans or log records: their fields, and how each kind of column is made of one."""

    def __init__(self, buffer: Bytes, items: _Items, contexts: _Contexts) -> None:
        self.buffer = buffer
        self.count = len(items.starts)
        self.starts = np.array(items.starts, np.int64)
        self.ends = np.array(items.ends, np.int64)
        self.fields: Fields = fields(buffer, self.starts, self.ends)
        self._context = np.array(items.context, np.int64)
        self._contexts = contexts

    def around(self) -> dict[str, pa.Array[Any]]:
        """Position, context, and at the first item of each the JSON of its resource and scope."""
        numbers = np.array(self._contexts.position, np.int64)
        first = np.ones(self.count, bool)
        first[1:] = self._context[1:] != self._context[:-1]
        resource: list[str | None] = [None] * self.count
        scope: list[str | None] = [None] * self.count
        for place in np.flatnonzero(first).tolist():
            resource[place] = self._contexts.resource[self._context[place]]
            scope[place] = self._contexts.scope[self._context[place]]
        return {
            "position": pa.array(numbers[self._context]),
            "context": pa.array(self._context),
            "resource": pa.array(resource, pa.string()),
            "scope": pa.array(scope, pa.string()),
        }

    def ranges(self, number: int) -> tuple[Places, Places]:
        """Start and end of a field of bytes, the last one given; an empty range for none."""
        there = self.fields.of(number, BYTES)
        starts, ends = np.zeros(self.count, np.int64), np.zeros(self.count, np.int64)
        owner = self.fields.owner[there]
        starts[owner], ends[owner] = self.fields.start[there], self.fields.end[there]
        return starts, ends

    def text(self, number: int) -> pa.Array[Any]:
        """A string; NULL where it is empty."""
        starts, ends = self.ranges(number)
        lengths = ends - starts
        return strings(Pool(self.buffer).gather(starts, lengths), lengths, lengths > 0)

    def id(self, number: int, size: int) -> pa.Array[Any]:
        """An ID of so many bytes in hexadecimal; NULL where it is empty."""
        starts, ends = self.ranges(number)
        lengths = ends - starts
        usual = lengths == size
        if not (usual | (lengths == 0)).all():
            return pa.array(
                [self.buffer[a:b].tobytes().hex() or None for a, b in zip(starts, ends, strict=True)],
                pa.string(),
            )
        return hexadecimal(self.buffer, starts, size, usual)

    def fixed(self, number: int) -> pa.Array[Any]:
        """A number of 64 bits; NULL where it is 0."""
        there = self.fields.of(number, FIXED64)
        values = np.zeros(self.count, np.uint64)
        values[self.fields.owner[there]] = fixed64(self.buffer, self.fields.start[there])
        return pa.array(values, mask=values == 0)

    def enum(self, number: int) -> pa.Array[Any]:
        """A small number; NULL where it is 0."""
        there = self.fields.of(number, VARINT)
        values = np.zeros(self.count, np.int32)
        values[self.fields.owner[there]] = self.fields.value[there].astype(np.uint32).view(np.int32)
        return pa.array(values, mask=values == 0)

    def json_list(self, number: int, message: str) -> pa.Array[Any]:
        """Messages as a JSON array; NULL where there are none."""
        there = self.fields.of(number, BYTES)
        lists: dict[int, list[str]] = {}
        columns = (self.fields.owner[there], self.fields.start[there], self.fields.end[there])
        for owner, start, end in zip(*(column.tolist() for column in columns), strict=True):
            lists.setdefault(owner, []).append(to_json(self.buffer[start:end].tobytes(), message))
        return _sparse(self.count, {owner: f"[{','.join(texts)}]" for owner, texts in lists.items()})

    def attributes(self, number: int) -> dict[str, pa.Array[Any]]:
        """``flat``, one JSON object, where all are simple; else ``attributes``, as OTLP JSON has them."""
        there = self.fields.of(number, BYTES)
        owner, starts, ends = self.fields.owner[there], self.fields.start[there], self.fields.end[there]
        simple = _Simple.of(self.buffer, starts, ends)
        complex_items = np.unique(owner[~simple.usual])
        is_complex = np.zeros(self.count, bool)
        is_complex[complex_items] = True
        lists: dict[int, list[str]] = {int(item): [] for item in complex_items}
        rest = is_complex[owner]
        for item, start, end in zip(
            owner[rest].tolist(), starts[rest].tolist(), ends[rest].tolist(), strict=True
        ):
            lists[item].append(to_json(self.buffer[start:end].tobytes(), "KeyValue"))
        kept = simple.only(~rest)
        data, lengths = kept.objects(self.buffer, owner[~rest], self.count)
        flat = strings(data, lengths, lengths > 0)
        texts = {item: f"[{','.join(parts)}]" for item, parts in lists.items()}
        return {
            "flat": flat,
            "attributes": _sparse(self.count, texts) if texts else pa.nulls(self.count, pa.string()),
        }


@dataclass(frozen=True, slots=True)
class _Simple:
    """Key-values, where they are written as usual: a key, then a simple value, and no more."""

    usual: Mask
    key: Places
    key_length: Places
    tag: Bytes
    """Of the value."""
    start: Places
    """Of the value's bytes, or of its number."""
    length: Places

    @classmethod
    def of(cls, buffer: Bytes, starts: Places, ends: Places) -> _Simple:
        last = len(buffer) - MARGIN
        key = starts + 2
        key_length = buffer[starts + 1].astype(np.int64)
        usual = (buffer[starts] == _KEY) & (key_length < _MORE) & (ends > starts)
        at = np.minimum(key + key_length, last)
        # The value: its tag, and its size in one byte or two.
        usual &= (buffer[at] == _VALUE) & (at < ends)
        size, at = _short(buffer, at + 1)
        usual &= (at + size == ends) & (size > 0)
        at = np.minimum(at, last)
        tag = buffer[at]
        length, start = _short(buffer, at + 1)
        is_string = tag == _STRING
        rest = ends - at - 1
        is_double = (tag == _DOUBLE) & (rest == 8)  # noqa: PLR2004
        ends_number = buffer[np.maximum(ends - 1, 0)] < _MORE
        is_number = ((tag == _INT) | ((tag == _BOOL) & (rest == 1))) & ends_number & (rest > 0) & (rest <= 10)  # noqa: PLR2004
        usual &= np.where(is_string, start + length == ends, is_number | is_double)
        return cls(
            usual,
            key,
            key_length,
            tag,
            np.where(is_string, start, at + 1),
            np.where(is_string, length, rest),
        )

    def only(self, which: Mask) -> _Simple:
        """Some of them."""
        return _Simple(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def objects(self, buffer: Bytes, owner: Places, count: int) -> tuple[Bytes, Places]:
        """A JSON object for each of ``count`` owners, end to end, and their lengths: 0 for one without any."""
        # Integers are strings in OTLP JSON.
        quoted = (self.tag == _STRING) | (self.tag == _INT)
        data, lengths = self._written(buffer, owner, count, quoted, escape=False)
        # Escapes are rare, and to look for them here costs less than in each string.
        marks = int(np.count_nonzero(must_escape(data)))
        if marks > 2 * len(owner) + 2 * int(np.count_nonzero(quoted)):
            return self._written(buffer, owner, count, quoted, escape=True)
        return data, lengths

    def _written(
        self, buffer: Bytes, owner: Places, count: int, quoted: Mask, *, escape: bool
    ) -> tuple[Bytes, Places]:
        pool = Pool(buffer)
        key, key_length = self.key.copy(), self.key_length.copy()
        if escape:
            pool.escaped(key, key_length)
        value, length = self._values(buffer, pool, escape=escape)
        pairs = len(owner)
        first = np.ones(pairs, bool)
        first[1:] = owner[1:] != owner[:-1]
        after_quoted = np.zeros(pairs, bool)
        after_quoted[1:] = quoted[:-1]
        opening = _choice(pool, [b'{"', b',"', b'","'], np.where(first, 0, 1 + after_quoted))
        middle = _choice(pool, [b'":', b'":"'], quoted.astype(np.int64))
        # Four pieces for each pair, and one that closes the object before the next owner's first.
        owners = np.flatnonzero(np.append(first[1:], True)) if pairs else np.empty(0, np.int64)
        closing = _choice(pool, [b"}", b'"}'], quoted[owners].astype(np.int64))
        place = 4 * np.arange(pairs) + np.cumsum(first) - 1
        starts = np.empty(4 * pairs + len(owners), np.int64)
        lengths = np.empty_like(starts)
        for offset, (begin, size) in enumerate((opening, (key, key_length), middle, (value, length))):
            starts[place + offset], lengths[place + offset] = begin, size
        starts[place[owners] + 4], lengths[place[owners] + 4] = closing
        data = pool.gather(starts, lengths)
        ends = np.append(0, np.cumsum(lengths))[place[owners] + 5]
        whole = np.zeros(count, np.int64)
        whole[owner[owners]] = np.diff(ends, prepend=0)
        return data, whole

    def _values(self, buffer: Bytes, pool: Pool, *, escape: bool) -> tuple[Places, Places]:
        start, length = self.start.copy(), self.length.copy()
        if escape:
            texts = np.flatnonzero(self.tag == _STRING)
            text_start, text_length = start[texts], length[texts]
            pool.escaped(text_start, text_length)
            start[texts], length[texts] = text_start, text_length
        numbers = np.flatnonzero(self.tag == _INT)
        if len(numbers):
            value, _ = varint(buffer, start[numbers])
            start[numbers], length[numbers] = _added(
                pool, [str(each) for each in value.view(np.int64).tolist()]
            )
        truths = np.flatnonzero(self.tag == _BOOL)
        if len(truths):
            start[truths], length[truths] = _choice(
                pool, [b"false", b"true"], (buffer[start[truths]] != 0).astype(np.int64)
            )
        doubles = np.flatnonzero(self.tag == _DOUBLE)
        if len(doubles):
            written = fixed64(buffer, start[doubles]).view(np.float64)
            start[doubles], length[doubles] = _added(pool, [double_text(each) for each in written.tolist()])
        return start, length


def _added(pool: Pool, texts: list[str]) -> tuple[Places, Places]:
    lengths = np.array([len(text) for text in texts], np.int64)
    begin = pool.add_all(np.frombuffer("".join(texts).encode(), np.uint8))
    return begin + np.cumsum(lengths) - lengths, lengths


def _choice(pool: Pool, texts: list[bytes], which: Places) -> tuple[Places, Places]:
    """For each one of a few texts."""
    places, sizes = zip(*(pool.add(text) for text in texts), strict=True)
    return np.array(places, np.int64)[which], np.array(sizes, np.int64)[which]


def _short(buffer: Bytes, at: Places) -> tuple[Places, Places]:
    """A size of one byte or two, and where it ends; a longer one gives a size that nothing has."""
    first = buffer[at].astype(np.int64)
    second = buffer[at + 1].astype(np.int64)
    longer = first >= _MORE
    size = np.where(longer, (first & 0x7F) | (second << 7), first)
    return np.where(longer & (second >= _MORE), np.int64(1) << 40, size), at + 1 + longer


def _sparse(count: int, texts: dict[int, str]) -> pa.Array[Any]:
    column: list[str | None] = [None] * count
    for place, text in texts.items():
        column[place] = text
    return pa.array(column, pa.string())


def _spans(buffer: Bytes, items: _Items, contexts: _Contexts) -> dict[str, pa.Array[Any]]:
    spans = _Message(buffer, items, contexts)
    code, message = _status(spans)
    return {
        **spans.around(),
        "is_log": pa.array(np.zeros(spans.count, bool)),
        "trace_id": spans.id(1, 16),
        "span_id": spans.id(2, 8),
        "trace_state": spans.text(3),
        "parent_id": spans.id(4, 8),
        "name": spans.text(5),
        "kind": spans.enum(6),
        "start_time": spans.fixed(7),
        "end_time": spans.fixed(8),
        **spans.attributes(9),
        "events": spans.json_list(11, "Event"),
        "links": spans.json_list(13, "Link"),
        "code": code,
        "message": message,
    }


def _status(spans: _Message) -> tuple[pa.Array[Any], pa.Array[Any]]:
    """Code and message of each span's status."""
    starts, ends = spans.ranges(15)
    inner = fields(spans.buffer, starts, ends)
    codes = np.zeros(spans.count, np.int32)
    there = inner.of(3, VARINT)
    codes[inner.owner[there]] = inner.value[there].astype(np.uint32).view(np.int32)
    there = inner.of(2, BYTES)
    texts = {
        owner: any_bytes(spans.buffer[start:end].tobytes())
        for owner, start, end in zip(
            inner.owner[there].tolist(), inner.start[there].tolist(), inner.end[there].tolist(), strict=True
        )
        if end > start
    }
    return pa.array(codes, mask=codes == 0), _sparse(spans.count, texts)


def any_bytes(value: bytes) -> str:
    """A string.

    Raises:
        Malformed: it is not UTF-8.
    """
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"a string that is not UTF-8: 0x{value[error.start]:02x}") from None


def _logs(buffer: Bytes, items: _Items, contexts: _Contexts) -> dict[str, pa.Array[Any]]:
    logs = _Message(buffer, items, contexts)
    body, simple_body = _bodies(logs)
    return {
        **logs.around(),
        "is_log": pa.array(np.ones(logs.count, bool)),
        "trace_id": logs.id(9, 16),
        "span_id": logs.id(10, 8),
        "log_time": logs.fixed(1),
        "observed_time": logs.fixed(11),
        "severity_number": logs.enum(2),
        "severity_text": logs.text(3),
        **logs.attributes(6),
        "event_name": logs.text(12),
        "body": body,
        "simple_body": simple_body,
    }


def _bodies(logs: _Message) -> tuple[pa.Array[Any], pa.Array[Any]]:
    """Bodies as OTLP JSON, and as text where they are no more than a string."""
    starts, ends = logs.ranges(5)
    there = np.zeros(logs.count, bool)
    there[logs.fields.owner[logs.fields.of(5, BYTES)]] = True
    length, start = _short(logs.buffer, starts + 1)
    simple = there & (ends > starts) & (logs.buffer[starts] == _STRING) & (start + length == ends)
    lengths = np.where(simple, length, 0)
    texts = strings(Pool(logs.buffer).gather(start, lengths), lengths, simple)
    others = {
        place: to_json(logs.buffer[starts[place] : ends[place]].tobytes(), "AnyValue")
        for place in np.flatnonzero(there & ~simple).tolist()
    }
    return _sparse(logs.count, others), texts
