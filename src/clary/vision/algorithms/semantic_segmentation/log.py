"""Log lines of semantic segmentation, exactly as the original prints them (seen in logs of real jobs)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from clary.vision.algorithms.joblog import JobLog, log_run_start
from clary.vision.base.events import BatchEnd, EpochEnd, Hook, RunEnd, RunStart, ValidationBatchEnd

__all__ = ["SegmentationLog"]

# As in logs of real jobs.
BATCHES_BETWEEN_LINES = 20


class SegmentationLog(Hook):
    """Prints speed while training, and loss, pixel accuracy and mIOU of each epoch.

    ``steps_per_epoch`` is the schedule's count, and ``rate`` gives the rate of the step that follows so many.
    ``save_best`` and ``save_last`` keep the network's weights as they are now and return the file: the one is called
    for each best epoch, the other at the end, when the network holds the best weights again.
    """

    def __init__(
        self,
        log: JobLog,
        steps_per_epoch: int,
        rate: Callable[[int], float],
        save_best: Callable[[], Path],
        save_last: Callable[[], Path],
        *,
        host: str = "algo-1",
    ) -> None:
        self._log = log
        self._steps = steps_per_epoch
        self._rate = rate
        self._save_best, self._save_last = save_best, save_last
        self._host = host
        # Of a validation: the original prints them after what is said of the training.
        self._notices: list[str] = []

    def on_start(self, event: RunStart) -> None:
        self._epochs = event.epochs
        log_run_start(self._log, event)
        self._log.info(f"LRScheduler setup: iters per epoch: {self._steps}, num_epochs {event.epochs}")

    def on_batch(self, event: BatchEnd) -> None:
        if (event.step + 1) % BATCHES_BETWEEN_LINES == 0:
            self._log.info(f"{_notice(event)} learning_rate: {self._rate(event.global_step):.6f}")

    def on_validation_batch(self, event: ValidationBatchEnd) -> None:
        if (event.step + 1) % BATCHES_BETWEEN_LINES == 0:
            self._notices.append(_notice(event))

    def on_epoch(self, event: EpochEnd) -> None:
        where = f"host: {self._host}, epoch: {event.epoch},"
        speed = event.samples / max(event.seconds, 1e-9)
        # The full stop behind the name and the one after a blank are the original's; detection's lines have neither.
        self._log.info(f"#quality_metric. {where} train loss: {event.train['loss']} .")
        self._log.info(f"#throughput_metric. {where} train throughput: {speed} samples/sec.")
        for notice in self._notices:
            self._log.info(notice)
        self._notices.clear()
        if event.validation:
            speed = event.validation_samples / max(event.validation_seconds, 1e-9)
            for name in ("pixel_accuracy", "mIOU"):
                self._log.info(f"#quality_metric. {where} validation {name}: {event.validation[name]} .")
            self._log.info(f"#throughput_metric. {where} validation throughput: {speed} samples/sec.")
        if event.best:
            self._log.info(f"Serializing model to {self._save_best()}")
        # Whole per cent here, all digits in detection: as seen.
        done = 100 * (event.epoch + 1) // self._epochs
        self._log.info(f"#progress_metric: host={self._host}, completed {done} % of epochs")

    def on_end(self, event: RunEnd) -> None:
        if event.reason == "early_stopping":
            self._log.info(f"Early stopping after {event.epochs} epochs, the best was epoch {event.best_epoch}")
        self._log.info(f"Serializing model to {self._save_last()}")
        self._log.info("Test data is not provided.")


def _notice(event: BatchEnd | ValidationBatchEnd) -> str:
    speed = event.samples / max(event.seconds, 1e-9)
    return f"#progress_notice. epoch: {event.epoch}, iterations: {event.step + 1} speed: {speed} samples/sec"
