"""Fields of many protobuf messages at once: arrays instead of objects.

The messages are ranges of one buffer. In each round the next field of every message is
read; so the rounds are as many as the longest message has fields, and each costs a few
operations on arrays as long as there are messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clew.collectors.otlp.wire import BYTES, FIXED32, FIXED64, VARINT, Malformed, next_field

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Places = npt.NDArray[np.int64]
    Numbers = npt.NDArray[np.uint64]

MARGIN = 16
"""Bytes behind the last message that may be looked at: more than the longest number takes."""
FEW = 48
"""So few messages are read one by one: a round on arrays costs as much."""
MOST_FIELDS = 16_384
"""Of one message that is read here, so that nobody's span of a million attributes holds up the others'."""
_MORE = 0x80


@dataclass(frozen=True, slots=True)
class Fields:
    """Fields of messages, those of each message in their order; arrays of one length."""

    owner: Places
    """Which message, counted from 0; ascending."""
    number: Places
    wire: Places
    start: Places
    """Of the value: of its bytes, or where a number of fixed size stands."""
    end: Places
    value: Numbers
    """Of a varint; 0 for any other."""

    def of(self, number: int, wire: int) -> npt.NDArray[np.bool_]:
        """Which of them are the field ``number``, written as it should be."""
        found: npt.NDArray[np.bool_] = (self.number == number) & (self.wire == wire)
        return found


def fields(buffer: Bytes, starts: Places, ends: Places) -> Fields:
    """Read the messages at ``starts`` to ``ends``; behind the last there are ``MARGIN`` bytes more.

    Raises:
        Malformed: one of them is no message, or has more than ``MOST_FIELDS``.
    """
    rounds: list[tuple[Places, Places, Places, Places, Places, Numbers]] = []
    active = np.flatnonzero(starts < ends)
    at = starts[active]
    end = ends[active]
    count = 0
    while len(active) >= FEW:
        count += 1
        if count > MOST_FIELDS:
            raise _too_many()
        tag, place = varint(buffer, at)
        number, wire = (tag >> 3).astype(np.int64), (tag & 7).astype(np.int64)
        value, after = varint(buffer, place)
        is_varint, is_bytes = wire == VARINT, wire == BYTES
        size = np.where(wire == FIXED64, 8, 4)
        begin = np.where(is_bytes, after, place)
        # A size beyond the buffer is cut to it, so that adding to it cannot overflow.
        length = np.minimum(value, np.uint64(len(buffer))).astype(np.int64)
        next_at = np.where(is_varint, after, np.where(is_bytes, after + length, place + size))
        known = is_varint | is_bytes | (wire == FIXED64) | (wire == FIXED32)
        if not (known & (next_at <= end) & (number > 0)).all():
            raise Malformed("a field that is no field: this is no protobuf, or is cut off or damaged")
        rounds.append((active, number, wire, begin, next_at, np.where(is_varint, value, np.uint64(0))))
        more = next_at < end
        active, at, end = active[more], next_at[more], end[more]
    if len(active):
        rounds.append(_one_by_one(buffer, active, at, end))
    if not rounds:
        none = np.empty(0, np.int64)
        return Fields(none, none, none, none, none, np.empty(0, np.uint64))
    order = np.argsort(np.concatenate([each[0] for each in rounds]), kind="stable")

    def column(place: int) -> npt.NDArray[Any]:
        whole: npt.NDArray[Any] = np.concatenate([each[place] for each in rounds])[order]
        return whole

    return Fields(column(0), column(1), column(2), column(3), column(4), column(5))


def _one_by_one(
    buffer: Bytes, owners: Places, starts: Places, ends: Places
) -> tuple[Places, Places, Places, Places, Places, Numbers]:
    found: list[tuple[int, int, int, int, int, int]] = []
    for owner, start, end in zip(owners.tolist(), starts.tolist(), ends.tolist(), strict=True):
        body = buffer[start:end].tobytes()
        at, most = 0, len(found) + MOST_FIELDS
        while at < len(body):
            number, wire, begin, after, value = next_field(body, at, len(body))
            found.append((owner, number, wire, start + begin, start + after, value))
            at = after
            if len(found) > most:
                raise _too_many()
    columns = list(zip(*found, strict=True))
    whole = [np.array(column, np.int64) for column in columns[:5]]
    return whole[0], whole[1], whole[2], whole[3], whole[4], np.array(columns[5], np.uint64)


def _too_many() -> Malformed:
    return Malformed(f"more than {MOST_FIELDS:,} fields, such as attributes, in one message")


def varint(buffer: Bytes, at: Places) -> tuple[Numbers, Places]:
    """The numbers at ``at``, and where each ends.

    Raises:
        Malformed: one of them is longer than ten bytes.
    """
    byte = buffer[at]
    value = (byte & 0x7F).astype(np.uint64)
    after = at + 1
    longer = np.flatnonzero(byte >= _MORE)
    shift = 7
    while len(longer):
        if shift >= 70:  # noqa: PLR2004  ten bytes of seven bits
            raise Malformed("a number of more than ten bytes: this is no protobuf, or is damaged")
        byte = buffer[after[longer]]
        value[longer] |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
        after[longer] += 1
        longer = longer[byte >= _MORE]
        shift += 7
    return value, after
