"""What image classification leaves in the model directory while it trains."""

from __future__ import annotations

from safetensors.torch import save
from torch import nn

from clary.vision.algorithms.image_classification.spec import ClassificationHyperparameters
from clary.vision.algorithms.joblog import JobLog
from clary.vision.base.events import EpochEnd, Hook
from clary.vision.base.files import write_bytes
from clary.vision.base.jobdir import JobDir

__all__ = ["ModelFiles"]


class ModelFiles(Hook):
    """Keeps the best weights in the model directory, or those of every k-th epoch.

    The files have the original's names (1-based epoch); their bytes are safetensors, not MXNet's format.
    """

    def __init__(self, job: JobDir, hp: ClassificationHyperparameters, network: nn.Module, log: JobLog) -> None:
        self._folder = job.model
        self._every = hp.checkpoint_frequency
        self._network = network
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
            self.remove_best()
            self._save(event.epoch)

    def remove_best(self) -> None:
        """Drop the single best file: hosting wants one candidate, and the finished artifact holds the same weights."""
        if not self._every:
            for path in self._folder.glob("image-classification-*.params"):
                path.unlink()

    def _save(self, epoch: int) -> None:
        path = self._folder / f"image-classification-{epoch + 1:04d}.params"
        # Contiguous: safetensors refuses channels-last tensors (recipe.saver).
        write_bytes(path, save({name: value.contiguous() for name, value in self._network.state_dict().items()}))
        self._log.info(f'Saved checkpoint to "{path}"')
