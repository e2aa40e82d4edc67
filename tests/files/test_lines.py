"""Lines are what stands between newlines, however the bytes come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.files.cutting import Found, cut, pieces

from clew.collectors.files import lines as framed
from clew.collectors.files.lines import BEGUN_JSON, LineFramer
from clew.collectors.files.units import table

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 20


@pytest.fixture(params=[(3, 1), (1 << 20, 1 << 20)], autouse=True, scope="module")
def _block(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is found may not depend on how much is looked at in one go."""
    before = framed.BLOCK, framed.MOST
    framed.BLOCK, framed.MOST = request.param
    yield
    framed.BLOCK, framed.MOST = before


ALPHABET = st.sampled_from(
    [
        b"\n",
        b"\r\n",
        b"\r",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        "é".encode(),
        b'{"a":',
        b"1}",
        b"text",
        b"x" * 13,
        b" ",
    ]
)
TEXTS = st.lists(ALPHABET, max_size=40).map(b"".join)


def lines_of(data: bytes) -> tuple[list[Found], set[int]]:
    """The rule, one line at a time: what is a line, and the numbers of what is rejected."""
    found, rejected = [], set()
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    last = lines.pop()
    for number, line in enumerate([*lines, *([last] if last else [])], start=1):
        if number > len(lines) and BEGUN_JSON.match(line) and len(line) <= LIMIT:
            try:
                json.loads(line)
            except ValueError:
                rejected.add(number)
                continue
        text = line.removesuffix(b"\r")
        try:
            text.decode()
        except UnicodeDecodeError:
            rejected.add(number)
            continue
        if b"\0" in text or len(line) > LIMIT:
            rejected.add(number)
        elif text:
            found.append((number, text))
    return found, rejected


@settings(deadline=None)
@given(TEXTS, st.lists(st.integers(0, 400), max_size=12))
def test_any_cutting_of_any_bytes_gives_the_lines(data: bytes, cuts: list[int]) -> None:
    found, rejected = cut(LineFramer(line_bytes=LIMIT), pieces(data, cuts))
    expected, bad = lines_of(data)
    assert found == expected
    # A run of lines with NUL bytes is one reject, whose further numbers do not appear.
    assert {number for number, _ in rejected} <= bad
    named = {number for number, reason in rejected if "NUL" in reason}
    assert bad - {number for number, _ in rejected} == set() or named


def test_lines_with_nul_bytes_that_are_found_together_are_one_reject(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framed, "MOST", 100)
    framer = LineFramer(line_bytes=100)
    found, rejected = cut(framer, [b"a\n\0\n\0\0\nb\0\nc\nd\0\n", b""])
    assert found == [(1, b"a"), (5, b"c")]
    assert rejected == [(2, "3 lines from here on hold NUL bytes"), (6, "holds NUL bytes")]


def test_a_line_that_is_no_utf8_is_rejected_with_the_byte() -> None:
    found, rejected = cut(LineFramer(line_bytes=100), [b"a\ncaf\xe9!\nb\n", b""])
    assert found == [(1, b"a"), (3, b"b")]
    assert rejected == [(2, "not UTF-8 at byte 4 (0xe9)")]


@pytest.mark.parametrize("size", [1 << 10, 1 << 20])
def test_a_line_that_is_too_long_is_rejected_and_not_kept(size: int) -> None:
    framer = LineFramer(line_bytes=100)
    parts = [b"a\n", *[b"x" * (size // 8)] * 8, b"x\nb\n", b""]
    found, rejected = cut(framer, parts)
    assert found == [(1, b"a"), (3, b"b")]
    assert rejected == [(2, f"a line of {size + 1:,} bytes: more than 100")]


def test_an_unended_last_line_counts_unless_it_is_json_begun() -> None:
    assert cut(LineFramer(line_bytes=100), [b"a\nb", b""]) == ([(1, b"a"), (2, b"b")], [])
    assert cut(LineFramer(line_bytes=100), [b'{"a":1}\n{"b":2}', b""])[1] == []
    found, rejected = cut(LineFramer(line_bytes=100), [b'{"a":1}\n{"b":', b""])
    assert found == [(1, b'{"a":1}')]
    assert rejected == [(2, "the input ends within this JSON value")]


def test_what_continues_a_counted_line_is_rejected_and_its_mere_end_is_not() -> None:
    assert cut(LineFramer(line_bytes=100, number=2, at_start=False, unended=True), [b"\r\nc\n", b""]) == (
        [(3, b"c")],
        [],
    )
    found, rejected = cut(
        LineFramer(line_bytes=100, number=2, at_start=False, unended=True), [b"ed\nc\n", b""]
    )
    assert found == [(3, b"c")]
    assert [number for number, _ in rejected] == [2]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b)))
def test_the_table_holds_each_unit_as_it_is(units: list[bytes]) -> None:
    texts = [unit.decode("latin-1").encode() for unit in units]
    data = np.frombuffer(b"\n".join(texts), np.uint8)
    ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64) - 1
    starts = ends - np.array([len(text) for text in texts], np.int64)
    raw = table(data, starts, ends, np.arange(len(texts), dtype=np.int64))
    raw.validate(full=True)
    assert raw["line"].to_pylist() == [text.decode() for text in texts]
    assert raw["position"].to_pylist() == list(range(len(texts)))


def test_large_rows_come_in_small_record_batches() -> None:
    data = np.frombuffer(b"x" * (64 << 20), np.uint8)
    starts = np.arange(0, 64 << 20, 1 << 20, dtype=np.int64)
    raw = table(data, starts, starts + (1 << 20), starts)
    assert len(raw) == 64
    assert 8 <= len(raw.to_batches()) <= 64
