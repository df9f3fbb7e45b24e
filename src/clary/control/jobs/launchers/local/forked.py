"""Detaching a process that the monitor forked: it dies with the monitor and keeps none of its files or handlers."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection, Iterable

from clary.toolkit import mounts
from clary.vision.base.descriptors import close_others

__all__ = ["detach"]


def detach(monitor: int, keep: Collection[int], handled: Iterable[signal.Signals]) -> None:
    """Die with the process ``monitor``; keep no handler of the signals ``handled``, and of its open files the standard
    three and ``keep``: the job's lock, above all, is the monitor's."""
    if sys.platform == "linux":
        # Each child for itself: fork does not hand the setting down (prctl(2)).
        mounts.kill_with_parent(signal.SIGKILL)
        # It died before the line above.
        if os.getppid() != monitor:
            os._exit(1)
    # First: the pipe that is written to is the monitor's, and a signal of ours would wake it.
    signal.set_wakeup_fd(-1)
    for one in handled:
        signal.signal(one, signal.SIG_DFL)
    close_others(keep)
