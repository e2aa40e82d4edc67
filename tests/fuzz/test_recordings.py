"""What others recorded loses nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.fuzz.invariants import check_file

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FILES = sorted(
    file
    for folder in ("lnav", "fluent-bit/tail", "fluent-bit/opentelemetry")
    for file in (DATA / folder).rglob("*.*")
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_recording_loses_nothing(file: Path) -> None:
    data = file.read_bytes()
    check_file(data, len(data) // 3 + 1)


def test_the_recordings_are_there() -> None:
    if not FILES:
        assert not os.environ.get("CLEW_FORBID_SKIP")
        pytest.skip(f"no {DATA}")
