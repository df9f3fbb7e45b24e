"""The recipe: Clary's data, loop and artifact around a network that it has never heard of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from clary.vision.algorithms import recipe
from clary.vision.algorithms.joblog import JobLog
from clary.vision.artifact.export import write_model
from clary.vision.artifact.manifest import Input, Manifest, Output
from clary.vision.base import preprocessing
from clary.vision.base.events import EpochEnd, Hook
from clary.vision.base.jobdir import JobDir
from clary.vision.base.preprocessing import Preprocess
from clary.vision.base.types import Sample
from clary.vision.datasets import channels
from clary.vision.datasets.loader import ImageCache, Loader
from clary.vision.inference.engines import installed
from clary.vision.training.loop import fit
from clary.vision.training.objectives.classification import ClassificationObjective
from clary.vision.training.optim import UpdateRule, make_optimizer
from clary.vision.training.records import MetricsFile
from clary.vision.training.schedules import Schedule
from clary.vision.training.stopping import StopRequest

from .spec import ColourHyperparameters


class MeanColour(nn.Module):
    """uint8 RGB pixels (N, H, W, 3) to logits (N, num_classes)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.float().mean(dim=(1, 2)) / 255)
        return logits


class Lines(Hook):
    def __init__(self, log: JobLog) -> None:
        self._log = log

    def on_epoch(self, event: EpochEnd) -> None:
        if event.validation:
            self._log.info(f"epoch {event.epoch}: accuracy {event.validation['accuracy']:.6f}")


def train(job: JobDir, hp: ColourHyperparameters, log: JobLog, hooks: Sequence[Hook], stop: StopRequest) -> None:
    dataset = channels.load(job, num_classes=hp.num_classes)
    recipe.check_batch(dataset, hp)
    torch.manual_seed(hp.seed)
    network = MeanColour(hp.num_classes)
    rule = UpdateRule(optimizer="sgd", learning_rate=hp.learning_rate)
    validation = dataset.splits.get("validation", ())
    run = recipe.assemble(
        job,
        hp,
        dataset,
        network=network,
        loaders=(
            loader(dataset.splits["train"], hp, shuffle=True),
            loader(validation, hp, shuffle=False) if validation else None,
        ),
        objective=ClassificationObjective(),
        optimizer=make_optimizer(network, rule, network.head),
        schedule=Schedule(lambda step: hp.learning_rate),
        hooks=[Lines(log), MetricsFile(job.metrics), *hooks],
        stop=stop,
    )
    progress = fit(run)
    manifest = Manifest(
        task="classification",
        algorithm="colour-means",
        labels=dataset.class_names,
        network={"architecture": hp.network_name()},
        input=Input(transform(hp)),
        outputs=(Output(activation="softmax"),),
        metrics={f"validation:{name}": value for name, value in progress.history[progress.best_epoch].items()},
        hyperparameters=dict(hp),
        provenance=recipe.provenance(hp, dataset),
    )
    served = nn.Sequential(network, nn.Softmax(dim=1)).eval()
    # Not in eager torch, which builds networks of Clary's own from their description.
    engines = [engine for engine in installed() if engine.name != "torch"]
    write_model(job.model, served, recipe.examples(dataset, transform(hp)), manifest, engines=engines)


def transform(hp: ColourHyperparameters) -> Preprocess:
    return Preprocess(hp.side, hp.side, hp.side, "center")


def loader(samples: Sequence[Sample], hp: ColourHyperparameters, *, shuffle: bool) -> Loader:
    return Loader(
        ImageCache(samples, hp.side, hp.side, 1 << 24),
        np.array([sample.classes[0] for sample in samples], dtype=np.int64),
        lambda pixels, target, random: (preprocessing.fit(pixels, transform(hp)), target),
        batch_size=min(hp.mini_batch_size, len(samples)),
        seed=hp.seed,
        shuffle=shuffle,
    )
