"""A worker and the process that started it: it dies with that, and is told by it what to do."""

from __future__ import annotations

import os
import signal
import sys
import threading

from clary.toolkit import mounts

__all__ = ["dies_with", "read_line", "stop_with_input"]


def dies_with(parent: int) -> bool:
    """Have the kernel kill this process when ``parent`` ends. Returns False when that has happened already."""
    if sys.platform == "linux":
        mounts.kill_with_parent(signal.SIGKILL)
    # The parent may have died before prctl was called; then no signal comes any more.
    return os.getppid() == parent


def read_line(file: int = 0) -> bytes:
    """Bytes up to the first line end; empty when the file ends before it."""
    line = bytearray()
    while not line.endswith(b"\n"):
        # Not sys.stdin: its buffer could take bytes that the thread at the other end waits for.
        byte = os.read(file, 65536)
        if not byte:
            return b""
        line += byte
    return bytes(line)


def stop_with_input() -> None:
    """Be sent SIGTERM when standard input ends: where the kernel gives no notice of a parent's death, its end of the
    pipe does."""
    threading.Thread(target=_stop_at_end_of_input, name="parent", daemon=True).start()


def _stop_at_end_of_input() -> None:
    # Not sys.stdin: a thread that waits inside it holds its lock, which makes the interpreter's end a crash.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
