"""One server for all processes of a test run: the first that needs it starts it, the last one ends it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

_END_S = 30.0

_spawned: dict[int, subprocess.Popen[bytes]] = {}

State = dict[str, Any]
"""How to reach a server: JSON, with its ``pid``."""


def common_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run share."""
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@contextmanager
def shared(folder: Path, start: Callable[[], State]) -> Iterator[State]:
    """The state of a server that runs within the block; ``folder`` is the server's own."""
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        known = _read(folder)
        state: State = known["state"] if known else start()
        _write(folder, {"users": known.get("users", 0) + 1, "state": state})
    try:
        yield state
    finally:
        with _locked(folder):
            known = _read(folder)
            known["users"] -= 1
            if known["users"]:
                _write(folder, known)
            else:
                (folder / "state").unlink()
                end(int(state["pid"]))


def spawn(command: Sequence[str], log: Path, folder: Path) -> int:
    """Start a server that may outlive this process; gives its ID."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "JAVA_HOME")}
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder, env=kept)
    # Held, because Python complains about one that is dropped while it runs.
    _spawned[process.pid] = process
    return process.pid


def has_ended(pid: int) -> bool:
    """Whether a server is no longer there."""
    own = _spawned.get(pid)
    if own is not None:
        return own.poll() is not None
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def end(pid: int, by: signal.Signals = signal.SIGTERM) -> None:
    """End a server, whichever process of this run started it, and wait until it is gone."""
    deadline = time.monotonic() + _END_S
    with suppress(ProcessLookupError):
        os.kill(pid, by)
    while not has_ended(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(folder: Path) -> dict[str, Any]:
    file = folder / "state"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def _write(folder: Path, known: dict[str, Any]) -> None:
    (folder / "state").write_text(json.dumps(known))
