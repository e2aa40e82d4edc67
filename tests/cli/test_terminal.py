"""What a person sees who watches both streams: talk is as wide as the terminal, and in a pipe one line."""

from __future__ import annotations

import io
import os

import pytest

from clew.cli.terminal import Terminal

HINT = "clew show 8d893640-fe1e-4248-a2a4-b370e2510e7e draws the first; clew why says why it is so"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_hint_is_broken_between_words(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    screen, end = os.openpty()
    with os.fdopen(screen, "rb") as seen, os.fdopen(end, "w", encoding="utf-8") as written:
        monkeypatch.setattr("sys.stdout", written)
        monkeypatch.setattr("sys.stderr", written)
        Terminal(color="never", environ={"COLUMNS": str(width)}).hint(HINT)
        written.flush()
        lines = os.read(seen.fileno(), 4096).decode().splitlines()
    assert all(len(line) <= width for line in lines)
    assert " ".join(line.strip() for line in lines) == HINT
    assert (len(lines) == 1) is (len(HINT) <= width)


def test_a_warning_in_a_pipe_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    Terminal(environ={"COLUMNS": "40"}).warn(HINT)
    assert pipe.getvalue() == f"warning: {HINT}\n"
