"""Plain lines: one a phase and one an epoch, for logs and for programs that read them.

reading pictures
checking pictures (240)
loading the network
start: pictures: 144 train, 48 validation, 48 test; 12 classes; resnet18; CPU, 2 threads; bf16
epoch 1/5: train accuracy 0.8125 loss 0.512; validation accuracy 0.9062 loss 0.400 best; 3.4 s; 44 pictures/s
end: best epoch 4 of 5, 17.8 s
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from clary.local.progress._base import View, end_said, epoch_said, notes_said, pictures_per_second, start_said
from clary.vision.base.events import EpochEnd, Preparation, RunEnd, RunStart
from clary.vision.base.other_programs import OtherPrograms

if TYPE_CHECKING:
    from clary.local.run import Run

__all__ = ["Lines"]

# Chosen: a log of a long phase stays readable, and a person sees that it lives.
EVERY = 5.0  # seconds between lines about how far a phase is


def _print(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()  # to a pipe Python writes in blocks


class Lines(View):
    """On standard error, or to ``write``."""

    def __init__(self, write: Callable[[str], None] = _print) -> None:
        self._write = write
        self._others = OtherPrograms()
        self._phase = ""
        self._last = 0.0
        self._epochs = 0

    def on_preparation(self, event: Preparation) -> None:
        now = time.monotonic()
        if event.what != self._phase:
            self._phase, self._last = event.what, now
            some = f" of {event.whole:,}" if event.whole and event.whole != event.total else ""
            self._write(f"{event.what} ({event.total:,}{some})" if event.total else event.what)
        elif now - self._last >= EVERY and event.done != event.total:
            self._last = now
            of = f" of {event.total:,}" if event.total else ""
            self._write(f"{event.what}: {event.done:,}{of}")

    def on_start(self, event: RunStart) -> None:
        self._epochs = event.epochs
        self._write(f"start: {'; '.join(start_said(event))}")
        for note in notes_said(event):
            self._write(f"note: {note}")
        if sharing := self._others.sharing():
            self._write(f"busy: {sharing}")

    def on_epoch(self, event: EpochEnd) -> None:
        number, *measured, took = epoch_said(event, self._epochs)
        if event.best and event.validation:
            measured[-1] += " best"
        speed = [pictures_per_second(event.samples, event.seconds)] if event.samples else []
        self._write(f"{number}: {'; '.join([*measured, took, *speed])}")

    def on_end(self, event: RunEnd) -> None:
        self._write(f"end: {end_said(event)}")
        self._write("writing the model")

    def on_model(self, run: Run) -> None:
        self._write(f"model: {run.model}")
