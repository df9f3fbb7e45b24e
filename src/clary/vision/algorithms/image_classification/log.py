"""Log lines of image classification, exactly as the original prints them (seen in logs of real jobs)."""

from __future__ import annotations

from clary.vision.algorithms.image_classification.spec import ClassificationHyperparameters
from clary.vision.algorithms.joblog import JobLog, log_run_start
from clary.vision.base.events import BatchEnd, EpochEnd, Hook, RunEnd, RunStart

__all__ = ["ClassificationLog", "log_parameters"]

# As in logs of real jobs, which say nothing of batch 0.
BATCHES_BETWEEN_LINES = 20


def log_parameters(log: JobLog, hp: ClassificationHyperparameters) -> None:
    """The block between ``---- Parameters ----`` and the dashed line."""
    start = "Using pretrained model for initializing weights and transfer learning."
    log.info(f"use_pretrained_model: {int(hp.use_pretrained_model)}")
    log.info(f"multi_label: {int(hp.multi_label)}")
    log.info(start if hp.use_pretrained_model else "Performing random weight initialization")
    log.info("---- Parameters ----")
    for line in _parameters(hp):
        log.info(line)
    log.info("--------------------")


def _parameters(hp: ClassificationHyperparameters) -> list[str]:
    optimizer = {
        "sgd": ["momentum", "weight_decay"],
        "nag": ["momentum", "weight_decay"],
        "adam": ["beta_1", "beta_2", "eps"],
        "adamw": ["beta_1", "beta_2", "eps", "weight_decay"],
        "rmsprop": ["gamma", "eps"],
    }[hp.optimizer]
    lines = [
        f"backbone: {hp.backbone}" if hp.backbone else f"num_layers: {hp.num_layers}",
        f"data type: <class 'numpy.{hp.precision_dtype}'>",
        f"epochs: {hp.epochs}",
        *([f"image resize size: {hp.resize}"] if hp.resize else []),
        f"optimizer: {hp.optimizer}",
        *(f"{name}: {hp[name]}" for name in optimizer),
        f"learning_rate: {hp.learning_rate}",
        *([f"lr_scheduler_step: {','.join(map(str, hp.lr_scheduler_step))}"] if hp.lr_scheduler_step else []),
        *([f"lr_scheduler_factor: {hp.lr_scheduler_factor}"] if hp.lr_scheduler_step else []),
        f"num_training_samples: {hp.num_training_samples}",
        f"mini_batch_size: {hp.mini_batch_size}",
        f"image_shape: {','.join(map(str, hp.image_shape))}",
        f"num_classes: {hp.num_classes}",
        f"augmentation_type: {hp.augmentation_type}",
        # What the original prints where nothing is set.
        f"kv_store: {hp.kv_store or 'device'}",
        *([f"top_k: {hp.top_k}"] if hp.top_k else []),
    ]
    if hp.checkpoint_frequency:
        return [*lines, f"checkpoint_frequency: {hp.checkpoint_frequency}"]
    return [*lines, "checkpoint_frequency not set, will store the best model"]


class ClassificationLog(Hook):
    """Prints speed and accuracy while training, and the accuracies of each epoch."""

    def __init__(self, log: JobLog) -> None:
        self._log = log

    def on_start(self, event: RunStart) -> None:
        log_run_start(self._log, event)

    def on_batch(self, event: BatchEnd) -> None:
        if event.step and event.step % BATCHES_BETWEEN_LINES == 0:
            speed = event.samples / max(event.seconds, 1e-9)
            accuracy = f"accuracy={event.metrics['accuracy']:.6f}"
            self._log.info(f"Epoch[{event.epoch}] Batch [{event.step}]\tSpeed: {speed:.3f} samples/sec\t{accuracy}")

    def on_epoch(self, event: EpochEnd) -> None:
        epoch = f"Epoch[{event.epoch}]"
        for name, value in event.train.items():
            if name != "loss":
                self._log.info(f"{epoch} Train-{name}={value:.6f}")
        self._log.info(f"{epoch} Time cost={event.seconds:.3f}")
        if event.validation:
            self._log.info(f"{epoch} Validation-accuracy={event.validation['accuracy']:.6f}")

    def on_end(self, event: RunEnd) -> None:
        if event.reason == "early_stopping":
            self._log.info(f"Early stopping after {event.epochs} epochs, the best was epoch {event.best_epoch}")
