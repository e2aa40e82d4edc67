"""The manual's example is a format that loads and whose sample comes out as it says."""

from __future__ import annotations

import re
from pathlib import Path

from clew.collectors.formats import load

ROOT = Path(__file__).resolve().parents[2]


def test_the_format_in_the_manual_loads_with_its_sample(tmp_path: Path) -> None:
    found = re.search(
        r"```yaml\n(.*?)```", (ROOT / "docs" / "formats.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None
    file = tmp_path / "shop-audit.yaml"
    file.write_text(found[1], encoding="utf-8")
    assert load(file).name == "shop-audit"


def test_the_worked_example_loads_with_its_samples() -> None:
    files = sorted((ROOT / "examples" / "formats").glob("*.yaml"))
    assert len(files) == 2
    assert [load(file).name for file in files] == ["train-ticket-logs", "train-ticket-spans"]


def test_every_other_piece_of_a_format_in_the_manual_loads(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    pieces = [block for language, block in blocks if not language and "record:" in block]
    assert len(pieces) == 3
    for number, piece in enumerate(pieces):
        file = tmp_path / f"piece-{number}.yaml"
        file.write_text(
            piece if "format:" in piece else f"format: piece\nshape: json\n{piece}", encoding="utf-8"
        )
        assert load(file).record
