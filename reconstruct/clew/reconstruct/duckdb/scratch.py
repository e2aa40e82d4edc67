"""Where the workbench spills: a folder beside the store that goes with its last user.

What spills is a copy of what is stored, so it is the owner's alone (0700) and on the
store's own disk. Each user holds a shared lock on the folder; whoever can lock it
alone was the last and removes it with anything that a killed process left.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class Scratch:
    """A temporary folder for ``store``; in the system's own where its folder admits none."""

    def __init__(self, store: Path) -> None:
        self.folder = store.with_name(store.name + ".tmp")
        self._fd: int | None = None
        try:
            self._fd = _join(self.folder)
        except OSError:
            import tempfile

            self.folder = Path(tempfile.mkdtemp(prefix="clew-"))
            self._fd = _join(self.folder)

    def close(self) -> None:
        """Leave, and remove the folder when nobody else uses it. Safe to call twice."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(self.folder)
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)

    def forget(self) -> None:
        """In a forked child: the folder is the parent's."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def _join(folder: Path) -> int:
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_uid != os.geteuid() or not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(f"{folder} is not ours")
            fcntl.flock(fd, fcntl.LOCK_SH)
            if os.path.samestat(os.fstat(fd), folder.stat()):
                return fd
        except FileNotFoundError:
            pass
        except OSError:
            os.close(fd)
            raise
        # The last user removed it between our opening and our locking.
        os.close(fd)
