"""What the machine bears: how many jobs at a time, and how many threads each."""

from __future__ import annotations

from clary.control.settings import Settings
from clary.vision.base.cores import cores
from clary.vision.base.memory import free_memory, oom_kills

__all__ = ["cores", "free_memory", "has_room", "oom_kills", "slots", "threads"]

CORES_PER_JOB = 2
JOB_MEMORY = 1536 << 20  # bytes a job is expected to need: tensor library, a ResNet-50 and its batch, the data cache


def slots(settings: Settings) -> int:
    """How many jobs run at a time: ``settings.max_jobs``, else one for every two cores, at least one."""
    return settings.max_jobs or max(1, cores() // CORES_PER_JOB)


def has_room(running: int, settings: Settings) -> bool:
    """Whether one more job may start beside ``running`` hosts of others. Where nothing runs one always may: waiting
    would not make more memory."""
    if running == 0:
        return True
    if running >= slots(settings):
        return False
    # A number that somebody gave stands: what their jobs need they know better than an estimate.
    if settings.max_jobs:
        return True
    free = free_memory()
    # Where the system does not say, memory is taken to be there: a queue that never moves helps nobody.
    return free is None or free >= JOB_MEMORY


def threads(jobs: int) -> int:
    """Threads for each of ``jobs`` programs that share the machine."""
    return max(1, cores() // max(1, jobs))
