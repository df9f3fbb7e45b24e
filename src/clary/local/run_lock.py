"""Whether somebody trains a run right now: whoever does holds a lock on its config.json.

A lock needs no cleaning up: the kernel drops it with the process, however that ends. config.json is replaced by its
holder alone (``Holding.replace``), and never by a file that is not locked, so that all who ask mean the same.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from clary.errors import UsageError

# There, nothing is locked and no run is ever seen going on.
if sys.platform != "win32":
    import fcntl

    from clary.vision.base.file_lock import take

__all__ = ["Holding", "held", "is_held"]

# Seconds: a listing that asks holds the lock for an instant, and must not be taken for a training.
PATIENCE = 0.5


@dataclass(frozen=True, slots=True)
class Holding:
    """The lock of a run, as long as it is held."""

    config: Path
    _files: ExitStack

    def replace(self, value: Any) -> None:
        """Write config.json anew; the lock goes on, on the new file. Raises UsageError when it cannot be written."""
        new = self.config.with_name(f".{self.config.name}.new")
        try:
            with open(new, "wb") as file:
                file.write((json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())
                file.flush()
                os.fsync(file.fileno())
            # Locked before it has the name: else somebody could take the run between the two.
            _lock(self._files.enter_context(new.open("r+b")), 0.0)
            os.replace(new, self.config)
        except OSError as error:
            raise UsageError(f"cannot be written ({error.strerror})", where=self.config) from error


@contextmanager
def held(config: Path) -> Iterator[Holding]:
    """Hold the lock of the run that ``config`` belongs to. Raises UsageError when another process trains it."""
    with ExitStack() as files:
        # Until the file that was locked is the one that has the name: its holder may have replaced it meanwhile.
        while True:
            # For writing: NFS locks nothing else.
            file = files.enter_context(config.open("r+b"))
            if not _lock(file, PATIENCE):
                what = "another process is training this run"
                raise UsageError(what, where=config.parent, hint="wait for it, or give another --out")
            if os.path.samestat(os.fstat(file.fileno()), config.stat()):
                break
        yield Holding(config, files)


def _lock(file: BinaryIO, seconds: float) -> bool:
    """Whether the lock of ``file`` was to be had."""
    if sys.platform == "win32":
        return True
    try:
        return take(file.fileno(), seconds)
    # A file system without locks; training goes on as it would without us.
    except OSError:
        return True


def is_held(config: Path) -> bool:
    """Whether the run that ``config`` belongs to is being trained."""
    if sys.platform == "win32":
        return False
    try:
        with config.open("rb") as file:
            # Shared: two who ask do not see each other.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
