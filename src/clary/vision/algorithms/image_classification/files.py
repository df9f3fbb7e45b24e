"""What image classification leaves in the model directory while it trains."""

from __future__ import annotations

from pathlib import Path

from clary.vision.algorithms.image_classification.spec import ClassificationHyperparameters
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.recipe import BestWeights
from clary.vision.base.events import EpochEnd, Hook
from clary.vision.base.jobdir import JobDir

__all__ = ["ModelFiles"]


class ModelFiles(Hook):
    """Keeps the best weights in the model directory, or those of every k-th epoch.

    The files have the original's names (1-based epoch); their bytes are safetensors, not MXNet's format.
    """

    def __init__(self, job: JobDir, hp: ClassificationHyperparameters, weights: BestWeights, log: JobLog) -> None:
        self._folder = job.model
        self._every = hp.checkpoint_frequency
        self._weights = weights
        self._log = log

    def on_epoch(self, event: EpochEnd) -> None:
        if self._every:
            if (event.epoch + 1) % self._every == 0:
                self._save(event.epoch)
        # An equal accuracy does not store again, as in the original's logs.
        elif event.best:
            if event.validation:
                accuracy = event.validation["accuracy"]
                self._log.info(f"Storing the best model with validation accuracy: {accuracy:.6f}")
            earlier = self.best()
            # First the new one: a job that is killed between the two has both.
            new = self._save(event.epoch)
            for path in earlier:
                if path != new:
                    path.unlink()

    def best(self) -> list[Path]:
        """The single best file: hosting wants one candidate, and the finished artifact holds the same weights. None
        where the user asked for files of their own."""
        return [] if self._every else list(self._folder.glob("image-classification-*.params"))

    def _save(self, epoch: int) -> Path:
        path = self._weights.saver(self._folder / f"image-classification-{epoch + 1:04d}.params")()
        self._log.info(f'Saved checkpoint to "{path}"')
        return path
