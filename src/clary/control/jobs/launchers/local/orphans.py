"""Processes of a job that must not outlive it: those that left its group, and those of a monitor that was killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from clary.vision.base import processes
from clary.vision.base.processes import Process

__all__ = ["MARK", "OOM_SCORE", "kill_children", "kill_orphans"]

# Of 1000: when memory runs out the kernel takes the program, not its monitor or the gateway. Children inherit it, and
# nobody but root can lower it again.
OOM_SCORE = 500
MARK = "CLARY_JOB_FOLDER"  # in the environment of every program a job starts
PATIENCE = 10.0  # seconds a killed process may take to go (it may wait for a disk)


def kill_orphans(folder: Path, last: int, started: int | None) -> int:
    """Kill what is left of the job in ``folder`` whose monitor, process ``last``, is dead. Returns how many.

    ``started`` is when that monitor began, None where it is not known. Its processes are known by the mark in their
    environment. Those without a mark (forked from the forkserver, or given an environment of their own) are in the
    monitor's session, began after it and have the score that every program of a job gets: the number of a session
    alone may be that of another by now, or come from a damaged lock.
    """
    own = os.getpid()
    mark, any_mark = f"{MARK}={folder}".encode(), f"{MARK}=".encode()
    # Given to another process, so nothing is left of that session: the kernel keeps the number while there is.
    session = 0 if processes.find(last) is not None else last

    def belongs(process: Process) -> bool:
        if process.id == own:
            return False
        marks = [one for one in _environment(process.id) if one.startswith(any_mark)]
        if marks:
            return mark in marks
        return session != 0 and process.session == session and process.started >= (started or 0) and _is_job(process.id)

    return _kill(belongs)


def kill_children() -> int:
    """Kill every child of this process, and theirs that come to it, until there are none. Returns how many."""
    own = os.getpid()
    killed = _kill(lambda process: process.parent == own)
    _reap()
    return killed


def _kill(wanted: Callable[[Process], bool]) -> int:
    killed: set[int] = set()
    deadline = time.monotonic() + PATIENCE
    # Again until there are none: one may have forked between the look and the signal.
    while found := [process for process in _processes() if wanted(process)]:
        for process in found:
            with suppress(PermissionError):  # never ours
                processes.send(process.id, signal.SIGKILL, partial(_same, process))
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


def _processes() -> Iterator[Process]:
    """Every live process there is to be seen (Linux; none elsewhere)."""
    root = Path("/proc")
    for name in os.listdir(root) if root.is_dir() else ():
        # Dead ones that wait for their parent cannot be killed again.
        if name.isdigit() and (found := processes.find(int(name))) and found.state not in "ZX":
            yield found


def _same(process: Process) -> bool:
    """Whether its number is still that of the process it was looked up for."""
    found = processes.find(process.id)
    return found is not None and found.started == process.started


def _is_job(process: int) -> bool:
    try:
        return int(Path(f"/proc/{process}/oom_score_adj").read_text()) == OOM_SCORE
    except (OSError, ValueError):
        return False


def _environment(process: int) -> list[bytes]:
    """The environment a process was started with; nothing where that may not be seen."""
    try:
        return Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
