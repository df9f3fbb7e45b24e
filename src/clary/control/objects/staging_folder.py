"""The folder in which files wait to become objects, inside the root, so that a rename stays on one disk."""

from __future__ import annotations

import fcntl
import os
import threading
import time
import uuid
import weakref
from contextlib import suppress
from pathlib import Path

__all__ = ["StagingFolder", "remove_older"]

# An upload of a large object over a slow line takes minutes, not an hour between two writes.
LEFT_OVER = 3600.0  # seconds after which a file belongs to nobody, whoever else uses the folder


class StagingFolder:
    """Whoever stages holds a shared lock on the folder, which ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.path = path
        self._lock = -1
        self._opening = threading.Lock()

    def name(self) -> Path:
        """A new name in the folder."""
        if self._lock < 0:
            self._share()
        return self.path / uuid.uuid4().hex

    def sweep(self) -> None:
        """Remove files that killed processes left: at once where nobody else stages, else when they are old."""
        age = 0.0 if self._lock < 0 and self._is_alone() else LEFT_OVER
        for entry in os.scandir(self.path):  # folders are uploads in parts, which go on
            if entry.is_file(follow_symlinks=False):
                remove_older(Path(entry.path), age)

    def _share(self) -> None:
        with self._opening, suppress(OSError):  # a disk without locks: what is left over goes by its age
            if self._lock < 0:
                self._lock = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                weakref.finalize(self, os.close, self._lock)
                fcntl.flock(self._lock, fcntl.LOCK_SH)

    def _is_alone(self) -> bool:
        """Whether no store, in this process or another, has staged anything and lives."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True


def remove_older(path: Path, age: float = LEFT_OVER) -> None:
    """Remove a file that nobody wrote to for ``age`` seconds."""
    with suppress(FileNotFoundError):
        if path.stat().st_mtime <= time.time() - age:
            path.unlink()
