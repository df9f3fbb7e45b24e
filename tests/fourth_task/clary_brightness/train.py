"""Data, network, loop, artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clary.version import __version__
from clary.vision.algorithms import recipe
from clary.vision.algorithms.joblog import JobLog
from clary.vision.artifact.export import write_model
from clary.vision.artifact.manifest import Input, Manifest, Provenance
from clary.vision.base.events import EpochEnd, Hook
from clary.vision.base.jobdir import JobDir
from clary.vision.base.preprocessing import Preprocess, fit
from clary.vision.base.types import Sample
from clary.vision.datasets import channels
from clary.vision.datasets.loader import ImageCache, Loader
from clary.vision.inference.engines import installed
from clary.vision.training import loop
from clary.vision.training.checkpoint import Checkpoints
from clary.vision.training.objectives.base import MetricAccumulator, Tally, TallyAccumulator, TaskObjective, add
from clary.vision.training.records import MetricsFile
from clary.vision.training.schedules import cosine
from clary.vision.training.stopping import StopRequest
from clary_brightness.spec import BrightnessHyperparameters
from clary_brightness.task import TASK

SIDE = 16  # pixels of network input


class Network(nn.Module):
    """A weighted sum of the mean colour."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = nn.Linear(3, 1)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.sum(images.float().mean(dim=(1, 2)) / 255)
        return found


def build(network: Mapping[str, Any]) -> nn.Module:
    """The network of a manifest."""
    return Network()


class BrightnessObjective(TaskObjective):
    """Mean squared error; targets are float32 (N,)."""

    task = TASK

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.mse_loss(outputs[:, 0], targets)

    def count(self, tally: Tally, outputs: Tensor, targets: Tensor, loss: float) -> None:
        error = float((outputs[:, 0] - targets).abs().sum())
        add(tally, error=error, loss=loss * len(targets), samples=len(targets))

    def metrics(self, tally: Mapping[str, float]) -> dict[str, float]:
        count = max(tally.get("samples", 0), 1)
        return {"loss": tally.get("loss", 0) / count, TASK.metric: tally.get("error", 0) / count}

    def accumulator(self) -> MetricAccumulator:
        return TallyAccumulator(self)


class Log(Hook):
    def __init__(self, log: JobLog) -> None:
        self._log = log

    def on_epoch(self, event: EpochEnd) -> None:
        self._log.info(f"Epoch[{event.epoch}] Validation-{TASK.metric}={event.validation[TASK.metric]:.6f}")


def train(job: JobDir, hp: BrightnessHyperparameters, log: JobLog, hooks: Sequence[Hook], stop: StopRequest) -> None:
    """Train on the job's channels and leave the model in ``job.model``."""
    dataset = channels.load(job, task=TASK.name)
    torch.manual_seed(hp.seed)
    network, how = Network(), Preprocess(SIDE, SIDE, crop="squash")

    def loader(samples: Sequence[Sample], shuffle: bool) -> Loader:
        targets = np.array([sample.value for sample in samples], np.float32)  # type: ignore[attr-defined]
        cache, size = ImageCache(samples, None, SIDE, 1 << 20), min(hp.mini_batch_size, len(samples))
        return Loader(cache, targets, lambda p, t, _: (fit(p, how), t), batch_size=size, seed=hp.seed, shuffle=shuffle)

    data = loader(dataset.splits["train"], True)
    progress = loop.fit(
        loop.Training(
            network=network,
            objective=BrightnessObjective(),
            optimizer=torch.optim.Adam(network.parameters()),
            schedule=cosine(hp.learning_rate, hp.epochs * len(data)),
            train=data,
            validation=loader(dataset.splits["validation"], False),
            epochs=hp.epochs,
            seed=hp.seed,
            device=torch.device("cpu"),
            checkpoints=Checkpoints(job.checkpoints, dict(hp)),
            precision="fp32",
            hooks=[Log(log), MetricsFile(job.metrics), *hooks],
            stop=stop,
        )
    )
    manifest = Manifest(
        task=TASK.name,
        algorithm="brightness",
        labels=dataset.class_names,
        network={"task": TASK.name, "architecture": "mean colour"},
        input=Input(how),
        outputs=TASK.outputs,
        metrics={f"validation:{name}": value for name, value in progress.history[progress.best_epoch].items()},
        provenance=Provenance(clary=__version__, created=f"{datetime.now(UTC):%FT%TZ}", seed=hp.seed),
    )
    write_model(job.model, network.eval(), recipe.examples(dataset, how), manifest, engines=installed())
