"""A store file with one table, here and in other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import duckdb

from clew.reconstruct.duckdb.file import DuckFile
from clew.reconstruct.duckdb.versions import Layout

PRELUDE = """
import duckdb, os, resource, signal, sys, time
from pathlib import Path
from clew.reconstruct.duckdb.file import DuckFile
from clew.reconstruct.duckdb.versions import Layout
from clew.reconstruct.errors import *

def make(connection):
    connection.execute("CREATE TABLE store.records (n BIGINT, text VARCHAR USING COMPRESSION zstd)")

LAYOUT = Layout(1, make)

def add(file, n, rows=1):
    with file.writing() as connection:
        connection.execute("INSERT INTO store.records SELECT ?, uuid() FROM range(?)", [n, rows])

def counts(file):
    with file.reading() as connection:
        return dict(connection.execute("SELECT n, count(*) FROM store.records GROUP BY n").fetchall())
"""


def make(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE store.records (n BIGINT, text VARCHAR USING COMPRESSION zstd)")


LAYOUT = Layout(1, make)


def add(file: DuckFile, n: int, rows: int = 1) -> None:
    with file.writing() as connection:
        connection.execute("INSERT INTO store.records SELECT ?, uuid() FROM range(?)", [n, rows])


def counts(file: DuckFile) -> dict[int, int]:
    with file.reading() as connection:
        return dict(connection.execute("SELECT n, count(*) FROM store.records GROUP BY n").fetchall())


def elsewhere(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in another process."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | environment,
    )


KILLED = """
file = DuckFile(Path(sys.argv[1]), layout=LAYOUT)
for n in range(3):
    add(file, n, 1000)
with file.writing() as connection:
    connection.execute("INSERT INTO store.records SELECT 9, uuid() FROM range(1000)")
    connection.execute("CREATE TEMP TABLE big AS SELECT uuid() AS u FROM range(100)")
    os.kill(os.getpid(), signal.SIGKILL)
"""
