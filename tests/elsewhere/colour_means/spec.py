"""The algorithm as data, found through the entry point ``colour-means = colour_means.spec:SPEC``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clary.vision.algorithms import hyperparameters as shared
from clary.vision.base.channels import ChannelSpec
from clary.vision.base.hyperparameters import Float, Integer, required, setting
from clary.vision.base.spec import Metric, Spec

if TYPE_CHECKING:
    from clary.vision.base.types import Dataset

IMAGES = ("application/x-image", "image/jpeg")


@dataclass(frozen=True, kw_only=True)
class ColourHyperparameters(shared.TrainingHyperparameters):
    num_classes: int = required(Integer(2), "number of classes")
    side: int = setting(Integer(8, 64), "side in pixels at which colours are averaged", 16)
    learning_rate: float = setting(Float(0.0, 10.0), "step size", 1.0)
    epochs: int = shared.epochs(5)
    mini_batch_size: int = setting(Integer(1), "images in a step", 4)
    early_stopping: bool = shared.early_stopping("accuracy")
    early_stopping_min_epochs: int = shared.early_stopping_min_epochs(10)
    early_stopping_patience: int = shared.early_stopping_patience(5)
    early_stopping_tolerance: float = shared.early_stopping_tolerance()
    precision: str = shared.precision()
    seed: int = shared.seed()

    def network_name(self) -> str:
        return "mean colour"


def _local_settings(given: Mapping[str, str], dataset: Dataset) -> Mapping[str, str]:
    return {"num_classes": str(len(dataset.class_names)), "precision": "fp32", **given}


SPEC = Spec(
    name="colour-means",
    task="classification",
    train="colour_means.train:train",
    schema=ColourHyperparameters,
    channels=(ChannelSpec("train", IMAGES, required=True), ChannelSpec("validation", IMAGES, required=True)),
    metrics=(Metric("validation:accuracy", r"epoch \d+: accuracy (\S+)", objective=True),),
    local_settings=_local_settings,
)
