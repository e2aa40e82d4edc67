"""JSON documents are found by their brackets, however the bytes come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.files.cutting import cut, pieces

from clew.collectors.files import brackets
from clew.collectors.files.documents import DocumentFramer
from clew.collectors.files.framing import framing

if TYPE_CHECKING:
    from collections.abc import Iterator

TRICKY = st.sampled_from(['"', "\\", "{", "]", '\\"', "[{}]", "\n", "é", ":", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TRICKY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TRICKY, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.lists(st.dictionaries(TRICKY, VALUES, max_size=3) | st.lists(VALUES, max_size=2), max_size=5)


@pytest.fixture(params=[(7, 1), (7, 1000), (1 << 20, 1 << 20)], autouse=True, scope="module")
def _block(request: pytest.FixtureRequest) -> Iterator[None]:
    """The state between two blocks of a buffer matters as much as that between two buffers."""
    before = brackets.BLOCK, brackets.MOST
    brackets.BLOCK, brackets.MOST = request.param
    yield
    brackets.BLOCK, brackets.MOST = before


def framer(size: int = 10_000) -> DocumentFramer:
    return DocumentFramer(document_bytes=size)


@settings(deadline=None)
@given(
    DOCUMENTS,
    st.sampled_from([None, 0, 2]),
    st.sampled_from(["ascii", ""]),
    st.lists(st.integers(0, 2000), max_size=8),
)
def test_any_cutting_of_an_array_gives_its_elements(
    values: list[Any], indent: int | None, ascii_only: str, cuts: list[int]
) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=bool(ascii_only)).encode()
    found, rejected = cut(framer(), pieces(text, cuts))
    assert rejected == []
    assert [number for number, _ in found] == list(range(1, len(values) + 1))
    assert [json.loads(unit) for _, unit in found] == values


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(TRICKY, VALUES, max_size=3), max_size=5),
    st.sampled_from([None, 2]),
    st.sampled_from(["", "\n", "\n\n", " ", ",\n", "\x1e"]),
    st.lists(st.integers(0, 2000), max_size=8),
)
def test_any_cutting_of_concatenated_objects_gives_each(
    values: list[Any], indent: int | None, between: str, cuts: list[int]
) -> None:
    text = between.join(json.dumps(value, indent=indent) for value in values).encode()
    found, rejected = cut(framer(), pieces(text, cuts))
    assert rejected == []
    assert [json.loads(unit) for _, unit in found] == values


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(list(b'{}[]",:\\ \n1a')), max_size=60).map(bytes),
    st.lists(st.integers(0, 99), max_size=6),
)
def test_any_bytes_give_units_or_rejects_but_no_error(data: bytes, cuts: list[int]) -> None:
    found, _ = cut(framer(30), pieces(data, cuts))
    for _, unit in found:
        assert unit in data
        assert unit[:1] in b"{["


@pytest.mark.parametrize(
    ("text", "kept", "reasons"),
    [
        (
            b'[{"id": 1}, {"id": 2, "x": [3}, {"id": 4}]',
            [b'{"id": 1}', b'{"id": 4}'],
            ["this JSON document does not end before the next one begins"],
        ),
        (
            b'[{"id": 0}, {"a": [1}, {"id": 2}]\n{"id": 3}',
            [b'{"id": 0}', b'{"id": 3}'],
            ["this JSON document does not end before the next one begins"],
        ),
        (b'[{"id": 1}}, {"id": 2}]', [b'{"id": 1}', b'{"id": 2}'], ["no JSON object or array"]),
        (b'[1, "x", {"id": 3}]', [b'{"id": 3}'], ["no JSON object or array"]),
        (
            b'[\n {\n  "id": "1\n },\n {\n  "id": "2"\n }\n]',
            [b'{\n  "id": "1\n }', b'{\n  "id": "2"\n }'],
            [],
        ),
        (b'{"id": 1}\n{"id": {', [b'{"id": 1}'], ["the input ends within this JSON document"]),
        (b'[{"id": 1}] and more', [b'{"id": 1}'], ["no JSON object or array"]),
        (b'[{"id": "caf\xe9"}, {"id": 2}]', [b'{"id": 2}'], ["not UTF-8 at byte 12 (0xe9)"]),
    ],
    ids=[
        "bracket",
        "swallowed",
        "one bracket more",
        "scalars",
        "quotation mark",
        "cut off",
        "text behind",
        "encoding",
    ],
)
def test_what_is_broken_is_rejected_and_the_rest_kept(
    text: bytes, kept: list[bytes], reasons: list[str]
) -> None:
    found, rejected = cut(framer(), [text, b""])
    assert [unit for _, unit in found] == kept
    assert [reason for _, reason in rejected] == reasons


def test_a_document_that_is_too_large_is_rejected_with_what_to_do() -> None:
    large = b'{"a": "' + b"x" * 5000 + b'"}'
    parts = [large[at : at + 50] for at in range(0, len(large), 50)]
    found, rejected = cut(framer(300), [b'{"b":\n1}\n', *parts, b'\n{"c":\n2}', b""])
    assert [unit for _, unit in found] == [b'{"b":\n1}', b'{"c":\n2}']
    assert [number for number, _ in rejected] == [2]
    assert "5,009 bytes" in rejected[0][1]
    assert "jq" in rejected[0][1]


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [
        (b'{"a": 1}\n{"a": 2}\n', "lines"),
        (b'{"a": 1}', "lines"),
        (b'{"a": 1,\n"b": 2}\n', "documents"),
        (b"{\n}\n", "documents"),
        (b'{"a": 1, "b', "lines"),
        (b'[{"a": 1}]', "documents"),
        (b'[{"a": 1}]\n[{"a": 2}]\n', "documents"),
        (b'{"a": 1}{"a": 2}', "documents"),
        (b"[2026-01-05 12:00:00] INFO started\n", "lines"),
        (b"[INFO] started\n", "lines"),
        (b'{"broken": \n{"a": 1}\n{"a": 2}\n', "lines"),
        (b'\xef\xbb\xbf[\r\n{"a": 1}]', "documents"),
        (b"time,message\n", "lines"),
        (b"", "lines"),
    ],
)
def test_how_an_input_is_cut_is_told_by_its_beginning(beginning: bytes, expected: str) -> None:
    assert framing(beginning) == expected
