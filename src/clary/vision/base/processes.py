"""Processes of this machine, told apart by when they started: their numbers are given out again (proc(5))."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "find", "send"]


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it is now. ``started`` in clock ticks since the machine was."""

    id: int
    state: str
    parent: int
    session: int
    started: int


def find(number: int) -> Process | None:
    """The process of that number; None where there is none, or the system does not tell (all but Linux)."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(errors="replace")
    except OSError:
        return None
    # From the last bracket on: the program's name before it may hold spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return Process(number, fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def send(number: int, what: signal.Signals, sure: Callable[[], bool]) -> bool:
    """Send a signal to the process of that number if ``sure()``, asked once the process is held fast; whether it was.

    Raises PermissionError for somebody else's process.
    """
    if not hasattr(os, "pidfd_open"):
        if sure():
            with suppress(ProcessLookupError):
                os.kill(number, what)
            return True
        return False
    try:
        descriptor = os.pidfd_open(number)
    except ProcessLookupError:
        return False
    try:
        # After the opening: what is true of the number now is true of the open process.
        if not sure():
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, what)
        return True
    finally:
        os.close(descriptor)
