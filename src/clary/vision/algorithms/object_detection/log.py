"""Log lines of object detection, exactly as the original prints them (seen in logs of real jobs)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from clary.vision.algorithms.joblog import JobLog, log_run_start, log_worker
from clary.vision.algorithms.object_detection.spec import DetectionHyperparameters
from clary.vision.base.events import BatchEnd, EpochEnd, Hook, RunEnd, RunStart

__all__ = ["DetectionLog", "log_start", "log_weights"]

# As in logs of real jobs.
BATCHES_BETWEEN_LINES = 100


def log_start(log: JobLog, hp: DetectionHyperparameters, content_type: str, gpus: int) -> None:
    """What is printed before the network is made. ``content_type`` is that of the train channel."""
    log_worker(log, [content_type], gpus)
    for split in ("Training", "Validation"):
        log.warning(f"{split} images are resized to image shape (3, {hp.image_shape}, {hp.image_shape})")
    log.info(f"Using [{'gpu' if gpus else 'cpu'}(0)] as training context.")
    log.info(f"Create Store: {hp.kv_store or 'device'}")


def log_weights(log: JobLog, pretrained: bool) -> None:
    """Where the first weights come from, when it is not the model channel."""
    log.info(f"Start training from pretrained model {int(pretrained)}.")
    if pretrained:
        log.info("Loaded pretrained model parameters.")


class DetectionLog(Hook):
    """Prints speed while training, and losses and mAP of each epoch.

    ``save`` keeps the network's weights as they are now and returns the file; it is called for each best epoch, and
    once more at the end, when the network holds the best weights again.
    """

    def __init__(
        self, log: JobLog, hp: DetectionHyperparameters, save: Callable[[], Path], *, host: str = "algo-1"
    ) -> None:
        self._log = log
        self._epochs = hp.epochs
        self._batch_size = hp.mini_batch_size
        self._counted = hp.num_training_samples // hp.mini_batch_size
        self._save = save
        self._host = host
        self._batches = 0

    def on_start(self, event: RunStart) -> None:
        self._batches = event.steps_per_epoch
        log_run_start(self._log, event)
        self._log.info("Creating a new state instance.")

    def on_batch(self, event: BatchEnd) -> None:
        batches = event.step + 1
        if batches % BATCHES_BETWEEN_LINES == 0:
            speed = event.samples / max(event.seconds, 1e-9)
            self._log.info(
                f"Epoch: {event.epoch:>4}, batches: {batches:>6}, num_examples: {batches * self._batch_size:>6}, "
                f"{speed:.1f} samples/sec, epoch time so far:  {timedelta(seconds=event.seconds)}"
            )

    def on_epoch(self, event: EpochEnd) -> None:
        at = f"host={self._host}, epoch={event.epoch}"
        for name in ("cross_entropy", "smooth_l1"):
            self._log.info(f"#quality_metric: {at}, batch={self._batches} train {name} <loss>=({event.train[name]})")
        speed = event.samples / max(event.seconds, 1e-9)
        self._log.info(f"#throughput_metric: host={self._host}, train throughput={speed} records/second")
        self._log.info("Round of batches complete")
        self._log.info("Updated the metrics")
        self._warn_of_count(event.epoch)
        if event.validation:
            found = event.validation["mAP"]
            self._log.info(f"#quality_metric: {at}, validation mAP <score>=({found})")
            if event.best:
                self._log.info(f"Updating the best model with validation-mAP={found}")
        if event.best:
            self._saved()
        # In all digits, as the original prints it; the metric train:progress is read from here.
        done = 100 * (event.epoch + 1) / self._epochs
        self._log.info(f"#progress_metric: host={self._host}, completed {done:.16g} % of epochs")

    def on_end(self, event: RunEnd) -> None:
        if event.reason == "early_stopping":
            self._log.info(f"Early stopping after {event.epochs} epochs, the best was epoch {event.best_epoch}")
        self._log.warning("wait_for_all_workers will not sync workers since the kv store is not running distributed")
        self._saved()
        # Always: what a test channel would be called is nowhere said.
        self._log.info("Test data is not provided.")

    def _saved(self) -> None:
        self._log.info(f'Saved checkpoint to "{self._save()}"')

    def _warn_of_count(self, epoch: int) -> None:
        # The original fills its last batch with pictures of the next epoch, so that its number of batches alternates;
        # here an incomplete one is left out and every epoch is the same: once is enough.
        if epoch == 0 and self._counted != self._batches:
            self._log.warning(
                f"Expected number of batches: {self._counted}, did not match the number of batches processed: "
                f"{self._batches}. This may happen when some images or annotations are invalid and cannot be parsed. "
                "Check `num_training_samples` as well."
            )
