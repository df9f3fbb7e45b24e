"""The numbers of a run as JSON lines: one object an epoch, one every few batches, one at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clary.vision.base.events import BatchEnd, EpochEnd, Hook, RunEnd, RunStart
from clary.vision.base.files import append_text, write_text

__all__ = ["MetricsFile"]

BATCHES_BETWEEN_RECORDS = 20


class MetricsFile(Hook):
    """Appends to ``path``. A resumed run first drops what was written after its checkpoint, so nothing stands twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._steps = 0
        self._precision = ""

    def on_start(self, event: RunStart) -> None:
        self._precision, self._steps = event.precision, event.first_step
        kept = [line for line in self._lines() if _precedes(line, event)]
        write_text(self._path, "".join(f"{line}\n" for line in kept))

    def on_batch(self, event: BatchEnd) -> None:
        self._steps = event.global_step
        if event.step % BATCHES_BETWEEN_RECORDS == 0:
            speed = event.samples / max(event.seconds, 1e-9)
            self._append(
                kind="batch",
                epoch=event.epoch,
                step=event.step,
                global_step=event.global_step,
                loss=event.loss,
                learning_rate=event.learning_rate,
                samples_per_second=round(speed, 3),
            )

    def on_epoch(self, event: EpochEnd) -> None:
        self._append(
            kind="epoch",
            epoch=event.epoch,
            global_step=self._steps,
            train=dict(event.train),
            validation=dict(event.validation),
            learning_rate=event.learning_rate,
            seconds=round(event.seconds, 3),
            best=event.best,
        )

    def on_end(self, event: RunEnd) -> None:
        self._append(
            kind="run",
            global_step=self._steps,
            reason=event.reason,
            epochs=event.epochs,
            best_epoch=event.best_epoch,
            seconds=round(event.seconds, 3),
            precision=self._precision,
        )

    def _lines(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.exists() else []

    def _append(self, **record: Any) -> None:
        append_text(self._path, json.dumps(record) + "\n")


def _precedes(line: str, start: RunStart) -> bool:
    """Whether a line tells of what was done before ``start``. A line torn by a crash does not."""
    try:
        record = json.loads(line)
        if record["kind"] == "epoch":  # one that ended at the step of the checkpoint may still have to be ended
            return bool(record["epoch"] < start.first_epoch)
        return record["kind"] == "batch" and bool(record["global_step"] <= start.first_step)
    except (ValueError, KeyError, TypeError):
        return False
