"""What the machine bears: how many jobs at a time, how many threads each, and whether the kernel ran out of memory."""

from __future__ import annotations

from pathlib import Path

from clary.control.settings import Settings
from clary.vision.base.cores import cores

__all__ = ["cores", "has_room", "oom_kills", "slots", "threads"]

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
    return bool(settings.max_jobs) or free_memory() >= JOB_MEMORY


def threads(jobs: int) -> int:
    """Threads for each of ``jobs`` programs that share the machine."""
    return max(1, cores() // max(1, jobs))


def free_memory() -> int:
    """Bytes that programs can still have without swapping, of the machine or of a control group with a limit."""
    # Not MemFree: most of a busy machine's memory is cache, which the kernel gives up for programs (proc(5)).
    machine = _field(Path("/proc/meminfo"), "MemAvailable:") << 10
    limit, used = _group_file("memory.max"), _group_file("memory.current")
    # Where the kernel says nothing (no /proc) memory is taken to be there: a queue that never moves helps nobody.
    if limit is None or used is None or not limit.strip().isdigit():
        return machine or JOB_MEMORY
    # Cached file pages count as used there, and are given back when needed.
    cached = _group_field("memory.stat", "inactive_file")
    return min(machine or JOB_MEMORY, max(0, int(limit) - int(used) + cached))


def oom_kills() -> int:
    """How often the kernel killed a process for want of memory, on the machine and in this control group."""
    return _field(Path("/proc/vmstat"), "oom_kill") + _group_field("memory.events", "oom_kill")


def _field(path: Path, name: str) -> int:
    try:
        return _lookup(path.read_text(), name)
    except OSError:  # no such file on this system
        return 0


def _lookup(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, rest = line.partition(" ")
        if key == name:
            return int(rest.split()[0])
    return 0


def _group_field(file: str, name: str) -> int:
    text = _group_file(file)
    return _lookup(text, name) if text else 0


def _group_file(name: str) -> str | None:
    """A file of this process's control group (version 2); None where there is none."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
        path = next(line[3:] for line in groups if line.startswith("0::"))
        return Path(f"/sys/fs/cgroup{path}/{name}").read_text()
    except (OSError, StopIteration):
        return None
