"""Going on from an earlier model: what the `model` channel holds, and putting it into a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from clary.errors import ArtifactError, CustomerError
from clary.vision.algorithms.joblog import JobLog
from clary.vision.artifact.export import WEIGHTS
from clary.vision.artifact.manifest import Manifest
from clary.vision.base.jobdir import JobDir
from clary.vision.inference.finishing import open_finished

__all__ = ["EarlierModel", "check_agreement", "earlier_model"]


@dataclass(frozen=True, slots=True)
class EarlierModel:
    """A trained model: its weights, and the normalisation they were trained with."""

    manifest: Manifest
    state: Mapping[str, Tensor]

    @property
    def network(self) -> Mapping[str, Any]:
        """The description of its network."""
        return self.manifest.network

    @property
    def mean(self) -> tuple[float, ...]:
        return tuple(self.network["mean"])

    @property
    def std(self) -> tuple[float, ...]:
        return tuple(self.network["std"])

    def put_into(self, network: nn.Module, num_classes: int, log: JobLog) -> None:
        """Copy the weights. Of a model for another number of classes, what depends on that number starts afresh.

        Raises CustomerError when other tensors do not fit either.
        """
        own = network.state_dict()
        fitting = {name: t for name, t in self.state.items() if name in own and own[name].shape == t.shape}
        before = int(self.network["num_classes"])
        # The guide asks for the same number of classes; to go on to others is ours, and worth a line in the log.
        if len(fitting) < len(own):
            if before == num_classes:
                first = next(name for name in own if name not in fitting)
                raise CustomerError(f"The model in the model channel does not fit this job's network (first `{first}`)")
            log.info(
                f"The model in the model channel has {before} classes, this job {num_classes}: "
                f"{len(own) - len(fitting)} tensors of its head start afresh."
            )
        network.load_state_dict(fitting, strict=False)
        log.info("done loading checkpoint")


def earlier_model(job: JobDir, log: JobLog) -> EarlierModel | None:
    """The model of the `model` channel, when there is one. Raises ArtifactError when it cannot be opened."""
    channel = job.channels.get("model")
    if channel is None:
        return None
    log.info("Start training from the model in the model channel.")
    # What a stopped job left is made a model first, with a graph that nobody needs here: seconds of a training.
    with open_finished(_archive(channel.path)) as model:  # a folder that goes with the block: weights are read in it
        try:
            return EarlierModel(model.manifest, load_file(model.folder / WEIGHTS))
        except (SafetensorError, OSError) as error:
            what = f"The model in the model channel has no weights that can be read ({error})"
            raise ArtifactError(what, hint="train it again, or leave the model channel out") from error


def check_agreement(there: Mapping[str, object], here: Mapping[str, object]) -> None:
    """Raises CustomerError naming what of ``here`` is otherwise in the earlier model."""
    wrong = ", ".join(
        f"{name}: {there.get(name)} there, {here[name]} here" for name in here if there.get(name) != here[name]
    )
    if wrong:
        raise CustomerError(
            f"The model in the model channel does not fit this job ({wrong})", hint=f"use the same {', '.join(here)}"
        )


def _archive(folder: Path) -> Path:
    # The platform leaves the archive in the channel's folder; `clary train` names the archive itself.
    found = sorted(folder.rglob("*.tar.gz"))
    return found[0] if found else folder
