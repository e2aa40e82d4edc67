"""The formats that come with clew."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from clew.collectors.formats import catalogue, plan, recognise
from clew.collectors.formats.checking import check_language, check_samples
from clew.collectors.formats.language import Format
from clew.collectors.formats.loader import built_in

FORMATS = catalogue()
NEVER_RECOGNISED = {"plain"}


def named(format: Format) -> str:
    return format.name


@pytest.mark.parametrize("format", FORMATS, ids=named)
def test_samples_become_the_records_they_must(format: Format) -> None:
    assert format.samples or format.name in NEVER_RECOGNISED
    check_language(format)
    check_samples(format)


@pytest.mark.parametrize("format", FORMATS, ids=named)
def test_samples_come_last_so_that_reading_a_format_need_not_read_them(format: Format) -> None:
    text = (resources.files("clew.collectors.formats") / "builtin" / format.file).read_text(encoding="utf-8")
    top = re.findall(r"(?m)^([a-z]\w*):", text)
    assert "samples" not in top[:-1]
    assert {one.name for one in built_in()} == {one.name for one in FORMATS}


@pytest.mark.parametrize("format", FORMATS, ids=named)
def test_a_format_recognises_its_own_samples(format: Format) -> None:
    readable = [sample for sample in format.samples if sample.records]
    if not readable:
        assert format.name in NEVER_RECOGNISED
        return
    lines = readable[0].line.splitlines()
    assert recognise(lines).format.split("/")[0] == format.name


def test_every_file_is_named_after_its_format() -> None:
    assert {one.file for one in FORMATS} == {f"{one.name}.yaml" for one in FORMATS}


def test_an_unknown_name_lists_the_known_ones() -> None:
    from clew.collectors.errors import UnknownFormat

    with pytest.raises(UnknownFormat) as caught:
        plan("pinot")
    assert "pino" in caught.value.help
