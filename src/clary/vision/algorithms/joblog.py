"""The log of a job: lines as the original containers print them, which programs read by regular expression."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from clary.vision.base.events import Hook, RunStart
from clary.vision.base.files import append_text
from clary.vision.base.image_sizes import sizes_said
from clary.vision.base.other_programs import OtherPrograms

__all__ = ["JobLog", "SharedMachineLog", "log_run_start", "log_worker", "print_line"]

Sink = Callable[[str], None]


def print_line(line: str) -> None:
    """To standard output at once: whoever follows the job reads line by line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # to a pipe Python writes in blocks of 8 KiB, minutes of a job's log


class JobLog:
    """Writes ``[MM/DD/YYYY HH:MM:SS LEVEL THREAD] message`` to a file and to ``echo``."""

    def __init__(self, file: Path | None = None, echo: Sink | None = print_line) -> None:
        self._file = file
        self._echo = echo

    def info(self, message: str) -> None:
        self._write("INFO", message)

    def warning(self, message: str) -> None:
        self._write("WARNING", message)

    def error(self, message: str) -> None:
        self._write("ERROR", message)

    def raw(self, line: str) -> None:
        """A line without the prefix: telemetry that programs read."""
        self._put(line)

    def _write(self, level: str, message: str) -> None:
        # Real lines have the number of a thread there, which on Linux has fifteen digits.
        self._put(f"[{datetime.now():%m/%d/%Y %H:%M:%S} {level} {threading.get_ident():015d}] {message}")

    def _put(self, line: str) -> None:
        if self._echo:
            self._echo(line)
        if self._file:
            append_text(self._file, line + "\n")


def log_worker(log: JobLog, content_types: Iterable[str], gpus: int) -> None:
    """The first lines of detection and segmentation: what the worker reads, and on what it computes."""
    log.info("Process 1 is a worker.")
    log.info("Using default worker.")
    for kind in content_types:
        log.info(f"Loaded iterator creator {kind} for content type ('{kind}', '1.0')")
    log.info(f"Number of GPUs being used: {gpus}")


def log_run_start(log: JobLog, event: RunStart) -> None:
    """Lines of ours, which the original does not have: the arithmetic and why, sizes that change, and where a resumed
    run goes on."""
    why = f" ({event.precision_reason})" if event.precision_reason else ""
    log.info(f"precision: {event.arithmetic}{why}")
    if sizes := sizes_said(event.image_sizes):
        log.info(f"progressive resizing: {sizes}")
    if event.first_step:
        log.info(f"Resuming from the checkpoint at step {event.first_step}")


class SharedMachineLog(Hook):
    """A line of ours before the first step where other programs take a share of the cores, measured since this was
    made."""

    def __init__(self, log: JobLog) -> None:
        self._log = log
        self._others = OtherPrograms()

    def on_start(self, event: RunStart) -> None:
        if sharing := self._others.sharing():
            self._log.info(str(sharing))
