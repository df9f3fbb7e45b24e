"""The lock in a host's folder: held (flock) by the live monitor of the host, so that no attempt is ever run twice.

It holds one line: process id of the last monitor, boot id of the machine, number of the attempt (not in homes made
before 0.2), and when that process was started. The kernel gives the lock back however the monitor ends, so a held lock
is a live monitor; a line without a held lock tells whom it was, and which attempt was begun. A line can be wrong (old,
damaged, edited, the number given to another process since): nobody gets a signal on its word alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from clary.vision.base import processes
from clary.vision.base.file_lock import is_free, writer
from clary.vision.base.files import PRIVATE

__all__ = ["begun", "holder", "is_held", "last_started", "monitor", "note_holder", "open_lock"]


def open_lock(folder: Path) -> int:
    """A descriptor of the lock, made where it is missing."""
    # flock(2) locks the open file, which forked processes share: each must close it (forked.detach), or the lock
    # outlives the monitor.
    return os.open(folder / "lock", os.O_RDWR | os.O_CREAT, PRIVATE)


def is_held(folder: Path) -> bool:
    """Whether a live monitor watches over the host in ``folder``."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        # To ask is to hold it for an instant, which is why a monitor tries for a while.
        return not is_free(descriptor)
    finally:
        os.close(descriptor)


def note_holder(descriptor: int, attempt: int) -> None:
    """Write into the lock, which is held, that it is this process's and for which attempt."""
    # Two steps, and a reader may come between them: it finds no holder and looks again.
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} {_boot()} {attempt} {_started(os.getpid())}\n".encode(), 0)


def monitor(folder: Path) -> int:
    """The live monitor of the host in ``folder``; 0 where none holds the lock, or it is not sure which process does."""
    if (found := writer(folder / "lock")) is not None:
        return found
    # The kernel does not tell. The line does, if the process of that number began when the line says.
    process, started = holder(folder), last_started(folder)
    sure = is_held(folder) and process and (started is None or started == _started(process))
    return process if sure else 0


def holder(folder: Path) -> int:
    """The process that last held the lock; 0 when none did since the machine was started."""
    words = _words(folder)
    return int(words[0]) if len(words) >= 2 and words[1] == _boot() and words[0].isdecimal() else 0


def last_started(folder: Path) -> int | None:
    """When the process ``holder`` began (``processes.Process``); None where the line does not say."""
    words = _words(folder)
    return int(words[3]) if len(words) >= 4 and words[3].isdecimal() else None


def begun(folder: Path) -> int | None:
    """The attempt whose monitor last held the lock; 0 when none ever did, None where the line does not say."""
    words = _words(folder)
    if not words:
        return 0
    return int(words[2]) if len(words) >= 3 and words[2].isdecimal() else None


def _words(folder: Path) -> list[str]:
    try:
        # A damaged line says nothing: it must not keep a job from being stopped.
        return (folder / "lock").read_text(errors="replace").split()
    except FileNotFoundError:
        return []


def _boot() -> str:
    """An id that changes when the machine is started anew: process numbers begin again then."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return "-"


def _started(process: int) -> int | None:
    found = processes.find(process)
    return found.started if found else None
