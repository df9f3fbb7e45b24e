"""The algorithm as data, found through the entry point ``counts = counts.spec:SPEC``."""

from __future__ import annotations

from dataclasses import dataclass

from clary.vision.base.channels import ChannelSpec
from clary.vision.base.hyperparameters import Float, Hyperparameters, Integer, setting
from clary.vision.base.spec import Spec


@dataclass(frozen=True, kw_only=True)
class CountsHyperparameters(Hyperparameters):
    steps: int = setting(Integer(1), "how far to count", 40)
    seconds: float = setting(Float(0.0, 10.0), "how long a step takes", 0.05)
    filler: int = setting(Integer(0), "bytes of the model besides", 0)


SPEC = Spec(
    name="counts",
    task="classification",
    train="counts.train:train",
    schema=CountsHyperparameters,
    channels=(ChannelSpec("train", ("application/x-image",), required=True),),
    metrics=(),
)
