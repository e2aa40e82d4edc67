"""Files as sources: plain or packed, whole or growing, lines or JSON documents."""

from clew.collectors.files.collector import FilesCollector
from clew.collectors.files.following import Pace

__all__ = ["FilesCollector", "Pace"]
