"""Large buffers that are used again once nothing refers to their bytes.

A fresh buffer of many megabytes costs a page fault for every page touched, about as
much as reading the file; so a few are kept. A batch may be held for as long as the
caller likes: its buffer comes back only when the last reference is gone.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]

SMALL = 1 << 20
"""Below this many bytes a buffer is not worth keeping."""


class Slabs:
    """Gives buffers of ``size`` bytes or more; keeps at most ``keep`` for later."""

    def __init__(self, size: int, keep: int = 3) -> None:
        self._size = size
        self._keep = keep
        self._free: list[Bytes] = []

    def take(self, size: int) -> Bytes:
        """A writable array of at least ``size`` bytes, its content undefined.

        Its memory is used again after the array *and* everything made from it are gone.
        """
        import numpy as np

        if size < SMALL or size > self._size:
            return np.empty(size, np.uint8)
        slab = self._free.pop() if self._free else np.empty(self._size, np.uint8)
        # frombuffer, because a slice of a slice refers to the slab itself, and the
        # slab would be given back while the slice is in use.
        array: Bytes = np.frombuffer(slab.data, np.uint8)
        weakref.finalize(array, self._give_back, slab).atexit = False
        return array

    def _give_back(self, slab: Bytes) -> None:
        if len(self._free) < self._keep:
            self._free.append(slab)
