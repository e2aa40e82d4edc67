"""The names that mean the same in every format: ``vocabulary.yaml`` and ``KEY_NAMES``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from clew.collectors.formats.nodes import read_yaml
from clew.collectors.formats.settings import Settings
from clew.collectors.record import KEY_NAMES


@dataclass(frozen=True, slots=True)
class DeadLetterNames:
    """How one broker or framework marks a dead letter."""

    of: str
    when: tuple[str, ...]
    unless: str | None
    system: str | None
    columns: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Everything that is looked for in every format."""

    containers: tuple[str, ...]
    record: Mapping[str, tuple[str, ...]]
    dead_letters: tuple[DeadLetterNames, ...]


@cache
def vocabulary() -> Vocabulary:
    """Read once."""
    file = resources.files("clew.collectors.formats") / "vocabulary.yaml"
    top = read_yaml(file.read_text(encoding="utf-8"), "vocabulary.yaml").mapping()
    letters = []
    for item in top["dead_letters"].items():
        entry = item.mapping()
        special = {"of", "when", "unless", "system"}
        letters.append(
            DeadLetterNames(
                of=entry["of"].text(),
                when=entry["when"].texts(),
                unless=entry["unless"].text() if "unless" in entry else None,
                system=entry["system"].text() if "system" in entry else None,
                columns={name: value.texts() for name, value in entry.items() if name not in special},
            )
        )
    return Vocabulary(
        containers=top["containers"].texts(),
        record={column: names.texts() for column, names in top["record"].mapping().items()},
        dead_letters=tuple(letters),
    )


def key_names(settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(instance names in order of preference, all other names), configured ones first."""
    configured = set(settings.keys)
    instance = [name for name, of in settings.keys.items() if of == "instance"]
    other = [name for name, of in settings.keys.items() if of != "instance"]
    instance += [name for name in KEY_NAMES["instance"] if name not in configured]
    for of, names in KEY_NAMES.items():
        if of != "instance":
            other += [name for name in names if name not in configured]
    return tuple(instance), tuple(other)


@cache
def passages() -> frozenset[str]:
    """Names that dotted names lead through when they are nested: ``service`` of ``service.name``."""
    shared = vocabulary()
    names = [name for names in (*shared.record.values(), *KEY_NAMES.values()) for name in names]
    return frozenset(name.split(".", 1)[0] for name in names if "." in name)
