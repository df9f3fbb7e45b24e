"""Memory of this machine, and errors that mean there was not enough of it."""

from __future__ import annotations

import errno
from pathlib import Path

__all__ = ["SMALLER", "free_memory", "is_out_of_memory", "machine_memory", "oom_kills"]

MACHINE = Path("/proc/meminfo")
SMALLER = "use a smaller mini_batch_size, smaller pictures or a smaller network"


def machine_memory() -> int:
    """Bytes that programs here can have in all, swap included: of the machine, or of a control group with a limit.

    0 where the system does not say.
    """
    fields = _fields(_text(MACHINE))
    machine = (fields.get("MemTotal", 0) + fields.get("SwapTotal", 0)) << 10
    limits = [limit for limit in map(_limit, _groups()) if limit]
    return min([machine, *limits] if machine else limits, default=0)


def free_memory() -> int | None:
    """Bytes that programs can still have without swapping, of the machine or of a control group with a limit; None
    where the system does not say."""
    # Not MemFree: most of a busy machine's memory is cache, which the kernel gives up for programs (proc(5)).
    available = _fields(_text(MACHINE)).get("MemAvailable")
    found = [] if available is None else [available << 10]
    limit, used = _group_file("memory.max").strip(), _group_file("memory.current")
    if limit.isdigit() and used:
        # Cached file pages count as used there, and are given back when needed.
        cached = _fields(_group_file("memory.stat")).get("inactive_file", 0)
        found.append(max(0, int(limit) - int(used) + cached))
    return min(found, default=None)


def oom_kills() -> int:
    """How often the kernel killed a process for want of memory, on the machine and in this control group."""
    texts = _text(Path("/proc/vmstat")), _group_file("memory.events")
    return sum(_fields(text).get("oom_kill", 0) for text in texts)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory could not be had."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # torch has a class for devices only; on processors it is a RuntimeError whose text holds the system's number.
    text = str(error)
    known = ("can't allocate memory", f"Error code {errno.ENOMEM} ", "could not create a memory object")
    return type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and any(words in text for words in known)
    )


def _groups() -> list[Path]:
    """The control groups of this process (version 2), from its own up to the root."""
    lines = _text(Path("/proc/self/cgroup")).splitlines()
    own = next((line[3:] for line in lines if line.startswith("0::")), None)
    root = Path("/sys/fs/cgroup")
    found = [] if own is None else [root / own.lstrip("/")]
    return [group for one in found for group in (one, *one.parents) if group.is_relative_to(root)]


def _limit(group: Path) -> int:
    text = _text(group / "memory.max").strip()
    return int(text) if text.isdigit() else 0


def _group_file(name: str) -> str:
    """A file of this process's own control group; empty where there is none."""
    groups = _groups()
    return _text(groups[0] / name) if groups else ""


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # no such file on this system
        return ""


def _fields(text: str) -> dict[str, int]:
    """Numbers by name, of lines like ``MemTotal:  24 kB`` (/proc) and ``inactive_file 100`` (control groups)."""
    words = (line.split() for line in text.splitlines())
    return {each[0].rstrip(":"): int(each[1]) for each in words if len(each) > 1 and each[1].isdigit()}
