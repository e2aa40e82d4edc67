"""What was compiled once is kept: many inputs share a format, and a folder may hold thousands."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

_MOST = 64
_kept: OrderedDict[str, Any] = OrderedDict()
_T = TypeVar("_T")


def cached(make: Callable[[], _T], *key: object) -> _T:
    """What ``make`` gives, made once for everything that reads the same as ``key``.

    Formats hold mappings and so have no hash; what they print says all that they are.
    """
    text = repr(key)
    if text in _kept:
        _kept.move_to_end(text)
        found: _T = _kept[text]
        return found
    made = _kept[text] = make()
    while len(_kept) > _MOST:
        _kept.popitem(last=False)
    return made
