"""Formats as data: recognise an input, and compile its format to one SELECT.

``docs/formats.md`` is the manual of the language.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clew.collectors.errors import UnknownFormat
from clew.collectors.formats.settings import Redaction, Settings

if TYPE_CHECKING:
    from clew.collectors.formats.checking import Explained
    from clew.collectors.formats.language import Format
    from clew.collectors.formats.plans import Plan

__all__ = ["Redaction", "Settings", "catalogue", "explain", "load", "plan", "recognise"]


def recognise(sample: Sequence[str], *, settings: Settings | None = None) -> Plan:
    """The Plan for an input, from up to some 200 units of its beginning.

    A unit is a line, an element of a JSON array, or a whole document. A broken unit hinders
    nothing.

    Raises:
        UnknownFormat: nothing fits.
    """
    from clew.collectors.formats.loader import built_in
    from clew.collectors.formats.recognition import best

    return _plan(
        best([one for one in built_in() if one.recognise.rank >= 0], sample), sample, settings or Settings()
    )


def plan(name_or_path: str, sample: Sequence[str] = (), *, settings: Settings | None = None) -> Plan:
    """The Plan of a format by its name, or of a format file.

    Raises:
        UnknownFormat: no format of that name, nor a file.
        FormatError: the file is wrong.
    """
    return _plan(named(name_or_path), sample, settings or Settings())


def named(name_or_path: str) -> Format:
    """A built-in format by its name, or a format file's; raises as :func:`plan`."""
    from clew.collectors.formats.loader import built_in

    for one in built_in():
        if one.name == name_or_path:
            return one
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or path.exists():
        return load(path)
    names = ", ".join(one.name for one in built_in())
    raise UnknownFormat(f"no format {name_or_path!r}", help=f"a format file, or one of: {names}")


def catalogue() -> list[Format]:
    """All built-in formats with their samples, by name."""
    from clew.collectors.formats.loader import built_in

    return list(built_in(samples=True))


def load(path: Path) -> Format:
    """A person's own format file.

    Raises:
        FormatError: it cannot be read, or anything is wrong with it.
    """
    from clew.collectors.formats.checking import check_language, check_samples
    from clew.collectors.formats.loader import load_file

    format = load_file(path)
    check_language(format)
    check_samples(format)
    return format


def explain(line: str, format: str | None = None, *, settings: Settings | None = None) -> list[Explained]:
    """What a line becomes: its Records, or the reason why it is rejected.

    Raises:
        UnknownFormat: no format of that name, or none that fits.
    """
    from clew.collectors.formats.checking import explained

    made = plan(format, [line], settings=settings) if format else recognise([line], settings=settings)
    return explained(made, [line])


def _plan(format: Format, sample: Sequence[str], settings: Settings) -> Plan:
    from clew.collectors.formats.assembly import assembled

    return assembled(format, sample, settings)
