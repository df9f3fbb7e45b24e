"""Processes of a job that must not outlive it: those that left its group, and those of a monitor that was killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MARK", "kill_children", "kill_orphans"]

MARK = "CLARY_JOB_FOLDER"  # in the environment of every program a job starts
PATIENCE = 10.0  # seconds a killed process may take to go (it may wait for a disk)


@dataclass(frozen=True, slots=True)
class _Process:
    id: int
    state: str
    parent: int
    session: int


def kill_orphans(folder: Path, last: int) -> int:
    """Kill what is left of the job in ``folder`` whose monitor, process ``last``, is dead. Returns how many.

    They are known by the monitor's session, and by their environment if they made a session of their own.
    """
    own = os.getpid()
    mark = f"{MARK}={folder}".encode()

    def belongs(process: _Process) -> bool:
        return process.id != own and ((last != 0 and process.session == last) or mark in _environment(process.id))

    alive = {process.id for process in _processes()}
    if last in alive:  # the number was given to another process, so nothing is left of that session
        last = 0
    return _kill(belongs)


def kill_children() -> int:
    """Kill every child of this process, and theirs that come to it, until there are none. Returns how many."""
    own = os.getpid()
    killed = _kill(lambda process: process.parent == own)
    _reap()
    return killed


def _kill(wanted: Callable[[_Process], bool]) -> int:
    killed: set[int] = set()
    deadline = time.monotonic() + PATIENCE
    # Again until there are none: one may have forked between the look and the signal.
    while found := [process for process in _processes() if wanted(process)]:
        for process in found:
            with suppress(ProcessLookupError, PermissionError):  # gone, or never ours
                os.kill(process.id, signal.SIGKILL)
            killed.add(process.id)
        _reap()
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return len(killed)


def _reap() -> None:
    """Take note of dead children, so that they do not count as processes."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _processes() -> Iterator[_Process]:
    """Every live process there is to be seen (Linux; none elsewhere)."""
    root = Path("/proc")
    if not root.is_dir():
        return
    for name in os.listdir(root):
        if not name.isdigit():
            continue
        try:
            text = (root / name / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # From the last bracket on: the program's name before it may hold spaces and brackets (proc(5)).
        state, parent, _, session = text.rpartition(")")[2].split()[:4]
        # Dead ones that wait for their parent cannot be killed again.
        if state not in "ZX":
            yield _Process(int(name), state, int(parent), int(session))


def _environment(process: int) -> list[bytes]:
    """The environment a process was started with; nothing where that may not be seen."""
    try:
        return Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
