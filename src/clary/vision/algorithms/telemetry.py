"""The ``#metrics`` lines that the containers of detection and segmentation print beside the human-readable ones.

One JSON object a line, an empty line after it (seen in logs of real jobs).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from clary.vision.algorithms.joblog import JobLog
from clary.vision.base.events import BatchEnd, EpochEnd, Hook, RunEnd, RunStart

__all__ = ["Telemetry"]


class Telemetry(Hook):
    """Counts records and batches, and prints them before training, after each epoch and at the end of the job.

    ``algorithm`` is "AWS/Object Detection" or the like.
    """

    def __init__(self, log: JobLog, algorithm: str, batch_size: int, *, host: str = "algo-1") -> None:
        self._log = log
        self._dimensions = {"Algorithm": algorithm, "Host": host, "Operation": "training"}
        self._batch_size = batch_size
        self._started = self._mark = time.time()
        self._setup = 0.0
        self._batches = self._most = self._total = 0

    def on_start(self, event: RunStart) -> None:
        self._setup = time.time() - self._started
        self._total = event.first_step
        # Of a resumed job: its counters go on from what the earlier process did, as if there had been one.
        self._most = event.steps_per_epoch if event.first_epoch else 0
        self._batches = event.first_step - event.first_epoch * event.steps_per_epoch
        self._print({"Meta": "init_train_data_iter"}, self._counters(event.first_epoch))

    def on_batch(self, event: BatchEnd) -> None:
        self._batches += 1
        self._total += 1

    def on_epoch(self, event: EpochEnd) -> None:
        self._most = max(self._most, self._batches)
        self._print({"Meta": "training_data_iter", "epoch": event.epoch}, self._counters(event.epoch + 1))
        self._batches = 0

    def on_end(self, event: RunEnd) -> None:
        total = time.time() - self._started
        self._print({}, {"epochs": event.epochs, "setuptime": 1000 * self._setup, "totaltime": 1000 * total})

    def _counters(self, resets: int) -> dict[str, int]:
        return {
            "Total Records Seen": self._total * self._batch_size,
            "Total Batches Seen": self._total,
            "Max Records Seen Between Resets": self._most * self._batch_size,
            "Max Batches Seen Between Resets": self._most,
            "Reset Count": resets,
            "Number of Records Since Last Reset": self._batches * self._batch_size,
            "Number of Batches Since Last Reset": self._batches,
        }

    def _print(self, dimensions: Mapping[str, str | int], numbers: Mapping[str, float]) -> None:
        now = time.time()
        told = {
            "StartTime": self._mark,
            "EndTime": now,
            "Dimensions": self._dimensions | dict(dimensions),
            "Metrics": {name: {"count": 1, "max": n, "min": n, "sum": float(n)} for name, n in numbers.items()},
        }
        self._mark = now
        self._log.raw(f"#metrics {json.dumps(told)}")
        # Seen in the logs of real jobs, after each of these lines.
        self._log.raw("")
