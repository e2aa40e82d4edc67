"""Which names anchor a flow and which merely find it."""

from __future__ import annotations

from dataclasses import dataclass

from clew.collectors.record import KEY_NAMES
from clew.reconstruct.model import KeyClass, Settings

DEFAULT_CLASS: dict[str, KeyClass] = {
    name: KeyClass(kind) for kind, names in KEY_NAMES.items() for name in names
}


@dataclass(frozen=True, slots=True)
class KeyNames:
    """Key names by class, as settings and defaults have them together."""

    demoted: tuple[str, ...]
    """Names that would anchor by default and are configured not to."""
    promoted: tuple[str, ...]
    """Names that anchor because they are configured to, though by default they do not."""
    instance: tuple[str, ...]
    """All names that anchor, in order of preference."""
    hop: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> KeyNames:
        """Join the settings' classes with the defaults."""
        classes = class_of(settings)
        by_default = set(KEY_NAMES["instance"])
        instance = [name for name in KEY_NAMES["instance"] if classes[name] is KeyClass.INSTANCE]
        promoted = [
            name
            for name, kind in settings.key_classes.items()
            if kind is KeyClass.INSTANCE and name not in by_default
        ]
        return cls(
            demoted=tuple(name for name in KEY_NAMES["instance"] if classes[name] is not KeyClass.INSTANCE),
            promoted=tuple(promoted),
            instance=(*instance, *promoted),
            hop=tuple(name for name, kind in classes.items() if kind is KeyClass.HOP),
        )


def class_of(settings: Settings) -> dict[str, KeyClass]:
    """Name → class, for every name known by default or by configuration."""
    return DEFAULT_CLASS | dict(settings.key_classes)


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def json_path(name: str) -> str:
    """A JSON path to a top-level member, whatever characters its name has."""
    return '$."' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
