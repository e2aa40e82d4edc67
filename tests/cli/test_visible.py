"""Nothing that came from outside can make a terminal do anything."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.cli.look import Look, cells
from clew.cli.visible import visible, visible_json

OBEYED = {"Cc", "Cs", "Zl", "Zp"}
REORDER = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred", "␛[31mred"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("a\r\nb\tc\x00", "a␍␊b␉c␀"),
        ("\x7f", "␡"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("注文 é 🙂", "注文 é 🙂"),
    ],
)
def test_what_a_terminal_obeys_is_shown_instead(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters(codec=None)))
def test_no_text_keeps_a_character_that_a_terminal_obeys(text: str) -> None:
    shown = visible(text)
    assert not [char for char in shown if unicodedata.category(char) in OBEYED or char in REORDER]
    shown.encode("utf-8")


@given(st.text(st.characters(codec=None)))
def test_an_ascii_terminal_gets_printable_ascii(text: str) -> None:
    shown = visible(text, "ascii")
    assert shown.isascii()
    assert shown == "" or shown.isprintable()


@given(st.recursive(st.text(st.characters(codec=None)), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_stays_the_same_json_without_such_characters(value: object) -> None:
    text = visible_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert not [char for char in text if unicodedata.category(char) in OBEYED or char in REORDER]
    text.encode("utf-8")


@given(st.text(max_size=200), st.integers(1, 120), st.sampled_from(["utf-8", "ascii", "latin-1"]))
def test_a_line_cut_to_a_width_is_no_wider(text: str, width: int, encoding: str) -> None:
    look = Look(width, encoding)
    fitted = look.line(text).fit(width, look.glyphs.cut)
    assert fitted.cells <= width
    assert cells(fitted.plain) <= width


@given(st.text(max_size=300), st.integers(20, 100))
def test_wrapped_text_loses_nothing_but_blanks(text: str, width: int) -> None:
    look = Look(width)
    lines = look.wrap(text, first=look.line("> "), again=look.line("  "))
    kept = "".join("".join(piece.text for piece in line.pieces)[2:] for line in lines)
    assert kept.replace(" ", "") == visible(text).replace(" ", "")
    assert [line.plain for line in lines if line.cells > width] == []
