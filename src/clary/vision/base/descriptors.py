"""Open files of a process that was forked: those that it is not to keep."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress

__all__ = ["close_others"]

_LISTS = ("/proc/self/fd", "/dev/fd")  # Linux; macOS and BSD


def close_others(keep: Collection[int] = ()) -> None:
    """Close every open file but the standard three and ``keep``."""
    first, end = 3, _highest() + 1
    for number in sorted(number for number in keep if 3 <= number < end):
        os.closerange(first, number)
        first = number + 1
    os.closerange(first, end)


def _highest() -> int:
    # Where the C library has no close_range(2), Python closes one number after the other, and the limit of a container
    # may be a thousand million.
    for folder in _LISTS:
        with suppress(OSError):
            return max(int(name) for name in os.listdir(folder) if name.isdigit())
    return os.sysconf("SC_OPEN_MAX") - 1
