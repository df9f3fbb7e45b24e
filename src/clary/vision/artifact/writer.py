"""Who writes a model folder: a training, from its first step to its last file, or who finishes what one left.

Both write the same names. Of the two at once the folder would hold one's weights under the other's checksums, and the
newest draft of a training that is going on would be removed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# There, nothing is locked.
if sys.platform != "win32":
    from clary.vision.base.file_lock import take

__all__ = ["sole_writer"]


@contextmanager
def sole_writer(folder: Path, seconds: float = 0.0) -> Iterator[bool]:
    """Whether this process alone may write to ``folder`` until the block ends; others are waited for ``seconds``.

    False where another process does, or this user may not. Raises OSError where there is no such folder.
    """
    if sys.platform == "win32":
        yield True
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield os.access(folder, os.W_OK) and _taken(descriptor, seconds)
    finally:
        # The lock goes with it.
        os.close(descriptor)


def _taken(descriptor: int, seconds: float) -> bool:
    try:
        return take(descriptor, seconds)
    # A file system without locks.
    except OSError:
        return True
