"""Memory of this machine, and errors that mean there was not enough of it."""

from __future__ import annotations

import errno
from pathlib import Path

__all__ = ["SMALLER", "is_out_of_memory", "machine_memory"]

SMALLER = "use a smaller mini_batch_size, smaller pictures or a smaller network"


def machine_memory() -> int:
    """Bytes that programs here can have in all, swap included: of the machine, or of a control group with a limit.

    0 where the system does not say.
    """
    fields = _fields(Path("/proc/meminfo"))
    machine = (fields.get("MemTotal", 0) + fields.get("SwapTotal", 0)) << 10
    limits = [limit for limit in map(_limit, _groups()) if limit]
    return min([machine, *limits] if machine else limits, default=0)


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
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line[3:] for line in lines if line.startswith("0::")), None)
    root = Path("/sys/fs/cgroup")
    found = [] if own is None else [root / own.lstrip("/")]
    return [group for one in found for group in (one, *one.parents) if group.is_relative_to(root)]


def _limit(group: Path) -> int:
    try:
        text = (group / "memory.max").read_text().strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def _fields(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":") for line in lines if ":" in line)
    return {name: int(rest.split()[0]) for name, rest in pairs if rest.split()[:1] and rest.split()[0].isdigit()}
