"""Every case of ``fixtures/files/framing.yaml`` is cut as it says."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.files.reading import Reading

CASES = yaml.safe_load(
    (Path(__file__).parents[2] / "fixtures" / "files" / "framing.yaml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("batch_bytes", [16, 1 << 20])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["shows"])
def test_the_fixture(case: dict[str, Any], batch_bytes: int, tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(base64.b64decode(case["bytes"]) if "bytes" in case else case["input"].encode())
    reading = Reading().read(file, batch_bytes=batch_bytes)
    assert dict(zip(reading.numbers, reading.lines, strict=True)) == case.get("units", {})
    assert {reject.position: reject.reason for reject in reading.rejects} == case.get("rejects", {})
    assert reading.read(file).batches == []
