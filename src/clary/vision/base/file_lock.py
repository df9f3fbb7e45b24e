"""Locks on files, which the kernel gives back with the process that holds them, however that ends (flock(2); POSIX)."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

__all__ = ["is_free", "share", "take", "writer"]


def take(descriptor: int, seconds: float = 0.0) -> bool:
    """Whether the lock of an open file was to be had within ``seconds``: it is this process's now.

    Raises OSError on a file system without locks.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def share(descriptor: int) -> None:
    """Hold the lock of an open file beside any others who share it; waits while somebody has it alone (``take``)."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def is_free(descriptor: int) -> bool:
    """Whether nobody holds the lock of an open file for writing, as ``take`` does. Raises OSError as that."""
    try:
        # Shared, and for an instant: two who ask do not see each other, and are not taken for a holder (``writer``).
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def writer(path: Path) -> int | None:
    """The process that took the lock of the file ``path`` for writing, as the kernel has it; 0 where none did.

    None where the kernel does not tell: it is another system, the process is in another namespace, or the file system
    numbers its devices in another way than the kernel (Btrfs).
    """
    try:
        status, lines = path.stat(), Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    elsewhere = False
    for line in lines:
        # "1: FLOCK  ADVISORY  WRITE 1729 fe:00:2146719 0 EOF"; one that waits has an arrow in front (proc(5)).
        words = line.split()[1:]
        if words[:1] == ["FLOCK"] and words[2] == "WRITE":
            if words[4] == wanted:
                return int(words[3]) if int(words[3]) > 0 else None
            elsewhere |= words[4].endswith(f":{status.st_ino}")
    return None if elsewhere else 0
