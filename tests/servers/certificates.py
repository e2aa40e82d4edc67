"""A certificate authority of a test run, and a server's certificate that it signed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.servers.fetching import Unavailable

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


class Certificates(NamedTuple):
    """Files (PEM)."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def within(cls, folder: Path) -> Certificates:
        """Where :func:`made` puts them."""
        return cls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")


def made(folder: Path) -> Certificates:
    """New ones, for localhost and 127.0.0.1, valid for two days.

    Raises:
        Unavailable: openssl is not installed.
    """
    found = Certificates.within(folder)
    _openssl(
        folder,
        "req",
        "-x509",
        *_KEY,
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-days",
        "2",
        "-subj",
        "/CN=clew tests",
    )
    _openssl(folder, "req", *_KEY, "-keyout", "key.pem", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text(_NAMES)
    _openssl(
        folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-extfile", "names", "-out", "cert.pem", "-days", "2",
    )  # fmt: skip
    return found


def _openssl(folder: Path, *words: str) -> None:
    try:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        raise Unavailable("openssl is not installed") from None
