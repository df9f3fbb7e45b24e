"""What the benchmarks share: the machine in words, processes and their memory, tables, where the real pets are."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO

__all__ = ["busy_seconds", "cpu_seconds", "machine", "memory", "memory_now", "pets", "process", "ready", "table"]

_FLAGS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
_PACKAGES = ("torch", "openvino", "onnxruntime", "litserve", "moto")


def machine() -> str:
    """Processor, cores, memory, Python, packages, and how busy the machine is with other things."""
    info = _text("/proc/cpuinfo")
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), "?")
    flags = next((line.split() for line in info.splitlines() if line.startswith("flags")), [])
    features = ", ".join(flag for flag in _FLAGS if flag in flags) or "no wide vectors"
    memory_kib = int(_text("/proc/meminfo").split()[1] if os.path.exists("/proc/meminfo") else 0)
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES if _installed(name))
    return (
        f"{model}, {len(os.sched_getaffinity(0))} cores ({features}), {memory_kib >> 20} GiB; "
        f"Python {platform.python_version()}, {packages}; load before {os.getloadavg()[0]:.1f}"
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their columns; the first column to the left, the others to the right."""
    cells = [list(map(str, row)) for row in (columns, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    for row in cells:
        line = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(line).rstrip())


def pets() -> Path | None:
    """The real pets (CLARY_PETS, or shared/data/pets beside the repository), or None."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "pets"
    root = Path(os.environ.get("CLARY_PETS", beside))
    return root if (root / "images").is_dir() else None


@contextmanager
def process(*words: object, stdout: int | IO[str] | None = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """Another Python running ``words``, ended with all its children (SIGTERM, SIGKILL) when the block is left."""
    child = subprocess.Popen([sys.executable, *map(str, words)], stdout=stdout, text=True, start_new_session=True)
    try:
        yield child
    finally:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def ready(url: str, seconds: float = 120) -> None:
    """Wait until ``url`` answers. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)


def memory(pid: int) -> float:
    """Resident memory of a process and its children at their largest, MiB."""
    lines = (line.split() for one in _family(pid) for line in _text(f"/proc/{one}/status").splitlines())
    return sum(int(words[1]) for words in lines if words[:1] == ["VmHWM:"]) / 1024


def memory_now(pid: int) -> dict[str, float]:
    """Resident memory now of a running platform by part, MiB: gateway, forkserver, worker."""
    found: dict[str, float] = {}
    for one in _family(pid):
        words = _text(f"/proc/{one}/cmdline")
        name = next((part for part in ("forkserver", "worker") if one != pid and part in words), "gateway")
        lines = (line.split() for line in _text(f"/proc/{one}/status").splitlines())
        found[name] = found.get(name, 0) + sum(int(line[1]) for line in lines if line[:1] == ["VmRSS:"]) / 1024
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time a process and its children have used so far, all cores together."""
    fields = (_text(f"/proc/{one}/stat").rsplit(")", 1)[-1].split() for one in _family(pid))
    return sum(int(words[11]) + int(words[12]) for words in fields if words) / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """Processor time that everything on this machine has used so far, all cores together."""
    user, nice, system, _, _, *interrupts = map(int, _text("/proc/stat").split("\n", 1)[0].split()[1:8])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    threads = os.listdir(f"/proc/{pid}/task") if os.path.isdir(f"/proc/{pid}/task") else []
    children = [int(child) for one in threads for child in _text(f"/proc/{pid}/task/{one}/children").split()]
    return [pid, *(one for child in children for one in _family(child))]


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _installed(name: str) -> bool:
    try:
        return bool(version(name))
    except ModuleNotFoundError:
        return False
