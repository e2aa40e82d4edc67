"""For each kind of mistake in a format file: a broken example and what is said about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clew.collectors.errors import FormatError
from clew.collectors.formats import load

BROKEN = Path(__file__).resolve().parents[2] / "fixtures" / "formats" / "broken"


@pytest.mark.parametrize("file", sorted(BROKEN.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_mistake_is_told_with_its_place_and_help(file: Path) -> None:
    with pytest.raises(FormatError) as caught:
        load(file)
    error = caught.value
    said = f"{Path(error.file).name}:{error.line}:{error.column}: {error}\n{error.text}\n{error.help}\n"
    expected = file.with_suffix(".txt")
    if os.environ.get("CLEW_UPDATE_GOLDEN"):
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8")


def test_a_missing_file_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_a_file_that_is_no_text_is_told_as_such(tmp_path: Path) -> None:
    file = tmp_path / "binary.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="not UTF-8"):
        load(file)
