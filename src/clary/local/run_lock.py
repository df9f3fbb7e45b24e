"""Whether somebody trains a run right now: whoever does holds a lock on its config.json.

A lock needs no cleaning up: the kernel drops it with the process, however that ends. config.json is written once and
never replaced, so that all who ask mean the same file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clary.errors import UsageError

# There, nothing is locked and no run is ever seen going on.
if sys.platform != "win32":
    import fcntl

    from clary.vision.base.file_lock import take

__all__ = ["held", "is_held"]

# Seconds: a listing that asks holds the lock for an instant, and must not be taken for a training.
PATIENCE = 0.5


@contextmanager
def held(config: Path) -> Iterator[None]:
    """Hold the lock of the run that ``config`` belongs to. Raises UsageError when another process trains it."""
    if sys.platform == "win32":
        yield
        return
    # For writing: NFS locks nothing else.
    with config.open("r+b") as file:
        try:
            free = take(file.fileno(), PATIENCE)
        # A file system without locks; training goes on as it would without us.
        except OSError:
            free = True
        if not free:
            what = "another process is training this run"
            raise UsageError(what, where=config.parent, hint="wait for it, or give another --out")
        yield


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
