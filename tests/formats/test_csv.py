"""CSV without a CSV reader in SQL: quotes, commas in them, doubled quotes."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from clew.collectors.errors import FormatError, UnknownFormat
from clew.collectors.formats import plan, recognise
from clew.collectors.formats.checking import explained

HEADER = "a,b,c"
CELLS = st.one_of(
    st.text(st.sampled_from('",a \t\x0b\x1c\x85\u2028'), max_size=6),
    st.text(
        st.characters(codec="utf-8", exclude_characters="\r\n\x1b\x00", exclude_categories=["Cs"]), max_size=6
    ),
)


@settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8), quoting=st.sampled_from([0, 1]))
@example(
    rows=[
        ("", "\U000424f35Þ뾃\U0007ec79v", 'O½\x1cp"Â'),
        ("\U000cf542Ôu", "¦", "Ûe\x8e"),
        ("\x83", "è\U00044fe2oÔ\U0001ddcb:", "\U000e15b4H%\x864¾"),
    ],
    quoting=0,
)
@example(rows=[("", "", '"'), ("", 'a"', ""), ("", ",", "")], quoting=0)
def test_rows_are_cut_as_the_csv_module_writes_them(rows: list[tuple[str, str, str]], quoting: int) -> None:
    written = io.StringIO()
    csv.writer(
        written, quoting=csv.QUOTE_ALL if quoting else csv.QUOTE_MINIMAL, lineterminator="\n"
    ).writerows(rows)
    lines = [HEADER, *written.getvalue().split("\n")[:-1]]
    found = explained(plan("csv", lines), lines)
    expected = [{name: cell for name, cell in zip("abc", row, strict=True) if cell} for row in rows]
    assert [one.record and one.record.get("attributes", {}) for one in found] == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('1,"open,3', "a quote that is never closed"),
        ('1,x"y"z,3', "a quote that is never closed"),
        ("1,2", "has 2 fields where the header names 3"),
        ("1,2,3,4", "has 4 fields where the header names 3"),
    ],
)
def test_a_row_that_does_not_fit_is_a_reject(row: str, reason: str) -> None:
    found = explained(plan("csv", [HEADER]), [HEADER, "1,2,3", row])
    assert [one.reject for one in found] == [None, reason]
    assert found[1].raw == row


def test_the_header_is_no_record_wherever_it_stands() -> None:
    found = explained(
        plan("csv", ["\ufeff" + HEADER + "\r\n"]), ["\ufeff" + HEADER + "\r\n", "1,2,3\r\n", HEADER]
    )
    assert [one.record and one.record["attributes"] for one in found] == [{"a": "1", "b": "2", "c": "3"}]


def test_an_input_without_a_header_is_refused() -> None:
    with pytest.raises(FormatError, match="header"):
        plan("csv", [])


def test_a_field_longer_than_the_csv_module_reads_hinders_nothing() -> None:
    lines = [HEADER, "1," + "x" * 200_000 + ",3", "4,5,6"]
    assert recognise(lines).format == "csv"


def test_a_quote_that_is_never_closed_spoils_only_its_own_line() -> None:
    lines = [HEADER, '1,"open,3', *["4,5,6"] * 10]
    assert recognise(lines).format == "csv"


def test_a_carriage_return_within_a_row_hinders_nothing() -> None:
    lines = [HEADER, "1,x\ry,3", "4,5,6"]
    found = explained(recognise(lines), lines)
    assert [one.record and one.record["attributes"] for one in found] == [
        {"a": "1", "b": "x\ry", "c": "3"},
        {"a": "4", "b": "5", "c": "6"},
    ]


@pytest.mark.parametrize(("mark", "format"), [(";", "csv-semicolon"), ("\t", "tsv")])
def test_other_separators_are_recognised_by_a_header_of_known_names(mark: str, format: str) -> None:
    lines = [
        mark.join(row) for row in (["time", "level", "msg"], ["2026-03-01T12:00:00Z", "info", f'"a{mark}b"'])
    ]
    made = recognise(lines)
    (found,) = explained(made, lines)
    assert made.format == format
    assert found.record is not None
    assert (str(found.record["time"]), found.record["body"]) == ("2026-03-01 12:00:00", f"a{mark}b")


def test_text_with_separators_has_no_header() -> None:
    lines = ["Listening;on;port", "Ready;to;serve"]
    with pytest.raises(UnknownFormat):
        recognise(lines)
