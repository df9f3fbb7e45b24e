"""Locks on files, which the kernel gives back with the process that holds them, however that ends (flock(2); POSIX)."""

from __future__ import annotations

import fcntl
import time

__all__ = ["take"]


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
