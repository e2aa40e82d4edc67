"""Java servers come from Maven: fetched once into the user's cache folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from hashlib import blake2b
from pathlib import Path
from typing import NoReturn

import pytest

_FETCH_S = 600


class Unavailable(Exception):
    """The server cannot be had here, or not do what is asked of it; the message says why."""


def java() -> str:
    """The command.

    Raises:
        Unavailable: there is none.
    """
    found = shutil.which("java")
    if found is None:
        raise Unavailable("java is not installed")
    return found


def jars(name: str, pom: Path) -> Path:
    """The folder of the jars that a POM depends on, fetched when the POM is new.

    Raises:
        Unavailable: Java or Maven is missing, or Maven could not fetch them.
    """
    java()
    folder = _cache() / f"{name}-{blake2b(pom.read_bytes(), digest_size=6).hexdigest()}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=_cache()) as fetched:
            _maven(name, "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={fetched}/libs")
            _move(Path(fetched) / "libs", folder)
    return folder


def unpacked(artifact: str) -> Path:
    """The folder of what an artifact (a tar.gz) holds, fetched once.

    Raises:
        Unavailable: as :func:`jars`.
    """
    java()
    folder = _cache() / artifact.replace(":", "-")
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=_cache()) as fetched:
            _maven(artifact, "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={fetched}")
            (packed,) = Path(fetched).glob("*.tar.gz")
            with tarfile.open(packed) as archive:
                archive.extractall(f"{fetched}/all", filter="data")
            _move(Path(fetched) / "all", folder)
    return folder


def _cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clew-tests"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _maven(what: str, *arguments: str) -> None:
    if shutil.which("mvn") is None:
        raise Unavailable(f"mvn is not installed, and {what} was not fetched before")
    try:
        done = subprocess.run(
            ["mvn", "-q", "-B", *arguments],
            cwd=_cache(),
            capture_output=True,
            text=True,
            timeout=_FETCH_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"mvn did not fetch {what} within {_FETCH_S} s") from None
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise Unavailable(f"mvn could not fetch {what}: {lines[0] if lines else 'it gave no reason'}")


def _move(made: Path, folder: Path) -> None:
    """A rename, so that an interrupted fetch leaves no half of it behind."""
    if not folder.exists():
        made.replace(folder)


def skip(error: Unavailable) -> NoReturn:
    """Skip a test for want of a server, which CI does not accept."""
    if os.environ.get("CLEW_FORBID_SKIP"):
        pytest.fail(f"needs a server that CI must have: {error}")
    pytest.skip(str(error))
