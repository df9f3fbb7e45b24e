"""What image classification reads from and leaves in the model directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor, nn

from clary.errors import CustomerError
from clary.vision.algorithms.joblog import JobLog
from clary.vision.artifact.archive import open_model
from clary.vision.artifact.export import WEIGHTS
from clary.vision.base.events import EpochEnd, Hook
from clary.vision.base.files import write_bytes
from clary.vision.base.jobdir import JobDir
from clary.vision.base.spec import Hyperparameters, as_text

__all__ = ["EarlierModel", "ModelFiles", "earlier_model"]


class ModelFiles(Hook):
    """Keeps the best weights in the model directory, or those of every k-th epoch.

    The files have the original's names (1-based epoch); their bytes are safetensors, not MXNet's format.
    """

    def __init__(self, job: JobDir, hp: Hyperparameters, network: nn.Module, log: JobLog) -> None:
        self._folder = job.model
        self._every = hp.checkpoint_frequency
        self._network = network
        self._log = log

    def on_epoch(self, event: EpochEnd) -> None:
        if self._every:
            if (event.epoch + 1) % self._every == 0:
                self._save(event.epoch)
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
        write_bytes(path, save({name: value.contiguous() for name, value in self._network.state_dict().items()}))
        self._log.info(f'Saved checkpoint to "{path}"')


@dataclass(frozen=True, slots=True)
class EarlierModel:
    """The model of the `model` channel: weights to go on from, and the normalisation they were trained with."""

    state: Mapping[str, Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def earlier_model(job: JobDir, hp: Hyperparameters, architecture: str, log: JobLog) -> EarlierModel | None:
    """The model of the `model` channel, when there is one.

    Raises ArtifactError when it cannot be opened, CustomerError when network, classes or size of pictures differ.
    """
    channel = job.channels.get("model")
    if channel is None:
        return None
    log.info("Start training from the model in the model channel.")
    with open_model(_archive(channel.path)) as model:
        network, how = model.manifest.network, model.manifest.input.how
        there = {
            "network": network.get("architecture"),
            "num_classes": network.get("num_classes"),
            "image_shape": f"3,{how.height},{how.width}",
        }
        here = {"network": architecture, "num_classes": hp.num_classes, "image_shape": as_text(hp.image_shape)}
        wrong = ", ".join(
            f"{name}: {there[name]} there, {here[name]} here" for name in here if there[name] != here[name]
        )
        if wrong:
            raise CustomerError(
                f"The model in the model channel does not fit this job ({wrong})",
                mend="use the same num_layers, image_shape and num_classes",
            )
        state = load_file(model.folder / WEIGHTS)
        mean, std = tuple(network["mean"]), tuple(network["std"])
    log.info("done loading checkpoint")
    return EarlierModel(state, mean, std)


def _archive(folder: Path) -> Path:
    found = sorted(folder.rglob("*.tar.gz"))
    return found[0] if found else folder
