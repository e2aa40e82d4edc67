"""The tracer is light: a service that imports it gets nothing that only the command needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "duckdb",
    "pyarrow",
    "numpy",
    "click",
    "rich",
    "yaml",
    "clew.collectors",
    "clew.reconstruct",
    "clew.cli",
)


@pytest.mark.parametrize(
    "statement",
    ["import clew.tracer", "import clew.tracer as t; [getattr(t, name) for name in t.__all__]"],
)
def test_importing_the_tracer_pulls_in_nothing_heavy(statement: str) -> None:
    script = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "clew.tracer.event" in loaded
    assert loaded.isdisjoint(HEAVY)
    assert not any(name.startswith("opentelemetry.sdk") for name in loaded)


def test_the_envelope_alone_needs_no_opentelemetry() -> None:
    script = "import clew.tracer, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not any(name.startswith("opentelemetry") for name in done.stdout.split())


def test_a_name_that_does_not_exist_is_said_so() -> None:
    import clew.tracer

    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = clew.tracer.nothing_of_the_kind
