"""Logs that test other parsers: whatever they hold, nothing fails and nothing vanishes unseen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Read = Callable[..., Any]


@pytest.mark.parametrize("folder", ["lnav", "fluent-bit", "elastic-apm-intake", "aws-lambda-events"])
def test_a_folder_of_odd_logs_is_read_or_rejected_whole(read: Read, recordings: Path, folder: str) -> None:
    reading = read(folder)
    assert reading.report.records > 0
    contents = {path.read_bytes() for path in (recordings / folder).rglob("*") if path.is_file()} - {b""}
    told = [
        source for source in reading.store.sources() if source.records or source.duplicates or source.rejects
    ]
    assert len(told) >= len(contents) * 0.9
    for reject in reading.store.rejects(limit=1000):
        assert reject.reason


def test_invalid_lines_are_rejected_and_the_others_kept(read: Read) -> None:
    """One broken line among good ones, in JSON, in UTF-8 and in the intake format."""
    reading = read("lnav/logfile_invalid_utf8.0", "lnav/logfile_invalid_json2.json")
    assert reading.report.rejects >= 2
    assert reading.report.new > 0
