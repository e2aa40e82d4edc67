"""The page about the tracer is true: its examples run, and its names are those that exist."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import clew.tracer

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tracer.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def _loggers() -> Iterator[None]:
    yield
    logging.getLogger("payments").handlers.clear()


@pytest.mark.usefixtures("_loggers")
@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_runs_by_itself(example: str) -> None:
    names: dict[str, object] = {}
    exec(compile(example, "docs/tracer.md", "exec"), names)  # noqa: S102 - our own page
    assert "__builtins__" in names


def test_every_public_name_is_on_the_page() -> None:
    assert [name for name in clew.tracer.__all__ if name not in PAGE] == []
