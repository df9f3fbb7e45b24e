"""Temporary folders that are gone with their process, however that ends.

A process that is killed removes nothing. Each folder is therefore locked by its owner (the kernel drops a lock with the
process), and whoever makes the next one removes those of the same name that nobody holds any more.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    from clary.vision.base.file_lock import take

__all__ = ["TemporaryFolder", "temporary_folder"]

YOUNG = 60.0  # seconds in which a folder may not have its lock yet, or be of a system whose locks we do not see


@dataclass(frozen=True, slots=True)
class TemporaryFolder:
    """A folder and the lock on it."""

    path: Path
    _lock: int

    def remove(self) -> None:
        """Remove the folder. Once only."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)


def temporary_folder(prefix: str) -> TemporaryFolder:
    """A new empty folder in the system's place for such; those of killed processes are removed. Raises OSError."""
    _sweep(prefix)
    path = Path(tempfile.mkdtemp(prefix=prefix))
    return TemporaryFolder(path, _locked(path))


def _sweep(prefix: str) -> None:
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            status = left.lstat()
        except OSError:
            continue
        # Nobody else's, no link, and none that was made just now.
        mine = os.name == "posix" and status.st_uid == os.getuid() and left.is_dir() and not left.is_symlink()
        if mine and time.time() - status.st_mtime > YOUNG and (lock := _locked(left)) >= 0:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)


def _locked(path: Path) -> int:
    """A descriptor that holds the lock of a folder; -1 where another process has it, or locks are not to be had."""
    if sys.platform == "win32":
        return -1
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        if take(descriptor):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return -1
