"""Where JSON documents start and end in a buffer, without parsing them.

Brackets outside of strings are found whole blocks at a time (after Langdale and Lemire,
"Parsing Gigabytes of JSON per Second", 2019, stage 1). JSON allows no raw newline within a
string (RFC 8259, section 7), so a quotation mark that is missing spoils one line only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.collectors.files.slabs import Bytes
    from clew.collectors.files.units import Flags, Offsets

BLOCK = 1 << 20
QUOTE, BACKSLASH, NEWLINE = 0x22, 0x5C, 0x0A
OPEN, CLOSE = 0x7B, 0x7D
"""``{`` and ``}``; setting bit 5 of ``[`` and ``]`` gives the same."""
BRACE_BIT = 0x20

MOST = 1 << 20
"""Documents found in one go, so that a buffer of very small ones does not fill the memory."""


@dataclass(slots=True)
class State:
    """What must be known of the bytes before."""

    depth: int = 0
    """Brackets that are open,"""
    in_array: bool = False
    """the outermost of which is an array's."""
    in_string: bool = False
    escaped: bool = False
    """The next character is escaped."""


class Documents(NamedTuple):
    """The documents of one piece of a buffer."""

    starts: Offsets
    ends: Offsets
    nested: Flags
    """Whether each is an element of a top-level array."""
    pending: int | None
    """Where a document starts that does not end in the piece."""
    upto: int
    """How many bytes were looked at."""
    state: State
    """After them."""


def documents(data: Bytes, *, within: bool) -> Documents:
    """Objects at the top level, and elements (objects and arrays) of arrays there.

    ``within`` says that ``data`` starts in such an array. Closing brackets beyond the top
    level are passed over. Stops early after :data:`MOST` documents.
    """
    import numpy as np

    state = State(int(within), within)
    none = np.empty(0, np.int64)
    opens, closes, nested, count, upto = [none], [none], [np.empty(0, np.bool_)], 0, 0
    for at, edges in _edges(data, state):
        opens.append(edges.opens + at)
        closes.append(edges.closes + at)
        nested.append(edges.nested)
        count += len(edges.closes)
        upto = min(at + BLOCK, len(data))
        if count > MOST:
            break
    starts, ends = np.concatenate(opens), np.concatenate(closes) + 1
    pending = int(starts[-1]) if len(starts) > len(ends) else None
    return Documents(starts[: len(ends)], ends, np.concatenate(nested)[: len(ends)], pending, upto, state)


def end_of_document(data: Bytes, state: State) -> int | None:
    """Where the document ends in which ``data`` starts, at ``state``; None where it goes on."""
    for at, edges in _edges(data, state):
        if len(edges.closes):
            return at + int(edges.closes[0]) + 1
    return None


class _Edges(NamedTuple):
    """Where documents are opened and closed in a block."""

    opens: Offsets
    closes: Offsets
    nested: Flags
    """For each of ``opens``, whether it is in a top-level array."""


def _edges(data: Bytes, state: State) -> Iterator[tuple[int, _Edges]]:
    """Block by block, with its offset; ``state`` is that after the block."""
    import numpy as np

    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        where = _brackets(block, state)
        opening = (block[where] | BRACE_BIT) == OPEN
        brace = (block[where] & BRACE_BIT) != 0
        after = state.depth + np.cumsum(np.where(opening, 1, -1))
        if len(after):
            after -= np.minimum(np.minimum.accumulate(after), 0)
        before = np.append(state.depth, after[:-1])[: len(after)]
        top = opening & (after == 1)
        in_array = _latest(top, ~brace, otherwise=state.in_array)
        element = in_array & (np.where(opening, after, before) == 2)  # noqa: PLR2004
        whole = ~in_array & (np.where(opening, after, before) == 1)
        edge = element | whole
        opens = opening & edge
        if len(after):
            state.depth, state.in_array = int(after[-1]), bool(in_array[-1])
        yield at, _Edges(where[opens], where[~opening & edge], in_array[opens])


def _latest(which: Flags, value: Flags, *, otherwise: bool) -> Flags:
    """At each place, ``value`` at the last place (this one or before) that ``which`` tells."""
    import numpy as np

    last = np.maximum.accumulate(np.where(which, np.arange(len(which)), -1)) if len(which) else which
    return np.where(last >= 0, value[last], otherwise) if len(which) else value


def _brackets(block: Bytes, state: State) -> Offsets:
    """Brackets outside of strings."""
    import numpy as np

    quotes = block == QUOTE
    slashes = np.flatnonzero(block == BACKSLASH)
    if state.escaped:
        quotes[0] = False
    if len(slashes) or state.escaped:
        state.escaped = _unquote(quotes, slashes, len(block), escaped=state.escaped)
    marks = np.flatnonzero(quotes)
    folded = block | BRACE_BIT
    brackets = np.flatnonzero((folded == OPEN) | (folded == CLOSE))
    newlines = np.flatnonzero(block == NEWLINE)
    # Quotation marks since the line began tell whether a bracket is within a string.
    at_line = np.searchsorted(marks, newlines)
    line = np.searchsorted(newlines, brackets)
    parity = np.searchsorted(marks, brackets)
    first = line == 0
    parity[first] += state.in_string
    parity[~first] -= at_line[line[~first] - 1]
    so_far = -int(at_line[-1]) if len(newlines) else int(state.in_string)
    state.in_string = bool((len(marks) + so_far) & 1)
    outside: Offsets = brackets[(parity & 1) == 0]
    return outside


def _unquote(quotes: Flags, slashes: Offsets, size: int, *, escaped: bool) -> bool:
    """Take escaped quotation marks out; whether the next block's first byte is escaped too."""
    import numpy as np

    if escaped and len(slashes) and slashes[0] == 0:
        slashes = slashes[1:]
    if not len(slashes):
        return False
    breaks = np.flatnonzero(np.diff(slashes) != 1)
    firsts = slashes[np.append(0, breaks + 1)]
    lasts = slashes[np.append(breaks, len(slashes) - 1)]
    odd = lasts[((lasts - firsts) & 1) == 0] + 1
    quotes[odd[odd < size]] = False
    return bool(len(odd) and odd[-1] == size)
