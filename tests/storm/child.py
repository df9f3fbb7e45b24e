"""A round in a process of its own, which may die or hang: it tells line by line what it does, and is watched."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.storm.weather import Tally, tracebacks

__all__ = ["REPOSITORY", "run", "tell"]

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TERM = 90.0  # seconds a child may take to put away what it started


def tell(**line: Any) -> None:
    """In the child: ``tried`` and ``found`` as in a tally; ``on``: what it does from now on."""
    print(json.dumps(line), flush=True)


def run(module: str, words: list[str], tally: Tally, *, errors: Path, silence: float) -> None:
    """Run ``python -m module words``; its end by a signal, a traceback, or ``silence`` seconds of it are finds."""
    command = [sys.executable, "-m", module, *words]
    # A session of its own: Ctrl-C is ours to pass on, and whoever hangs is killed with its children.
    with (
        errors.open("wb") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, cwd=REPOSITORY, start_new_session=True
        ) as process,
    ):
        try:
            doing = _follow(process, tally, silence)
        finally:
            _end(process)
    said = tracebacks(errors.read_text(errors="replace"))
    if process.returncode < 0:
        tally.find(f"{doing}: the process died of {signal.Signals(-process.returncode).name}")
    elif process.returncode > 0:
        tally.find(f"{doing}: the process ended with {process.returncode}: {'; '.join(said)}")


def _follow(process: subprocess.Popen[bytes], tally: Tally, silence: float) -> str:
    """Take what it tells until it ends; what it did last."""
    assert process.stdout is not None
    doing, rest, deadline = "starting", b"", time.monotonic() + silence
    while True:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            tally.find(f"{doing}: no end after {silence:.0f} s")
            return doing
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            process.wait(TERM)
            return doing
        *lines, rest = (rest + data).split(b"\n")
        for line in map(json.loads, lines):
            doing = line.get("on", doing)
            if "tried" in line:
                tally.try_(line["tried"], line.get("count", 1))
            if "found" in line:
                tally.find(line["found"], f"{doing}, {line.get('detail', '')}".strip(", "))
        deadline = time.monotonic() + silence


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(TERM)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.returncode = 0  # that it was silent is said
    if process.returncode == -signal.SIGTERM:
        process.returncode = 0
