"""The algorithm as data."""

from __future__ import annotations

from dataclasses import dataclass

from clary.vision.base.channels import ChannelSpec
from clary.vision.base.hyperparameters import Float, Hyperparameters, Integer, setting
from clary.vision.base.spec import Metric, Spec


@dataclass(frozen=True, kw_only=True)
class BrightnessHyperparameters(Hyperparameters):
    mini_batch_size: int = setting(Integer(1), "pictures in a step", 4)
    epochs: int = setting(Integer(1), "passes over the training set", 12)
    learning_rate: float = setting(Float(), "step size", 0.1)
    seed: int = setting(Integer(0), "seed of order and first weights", 0)


SPEC = Spec(
    name="brightness",
    task="brightness",
    train="clary_brightness.train:train",
    schema=BrightnessHyperparameters,
    channels=(ChannelSpec("train", ("text/csv",), required=True),),
    metrics=(Metric("validation:mean_absolute_error", r"Validation-mean_absolute_error=(\S*)", objective=True),),
)
