"""What is known of a picture, and what a model is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clary.vision.base.decoding import ImageInfo
from clary.vision.base.types import Dataset, Problem, Sample, SplitName
from clary.vision.tasks import Inspection, Output, Task


@dataclass(frozen=True, slots=True)
class Reading(Sample):
    """A picture and its brightness in 0..1."""

    value: float = 0.0


class Brightness(Task):
    """The network gives one number a picture, float32 (N, 1)."""

    name = "brightness"
    targets = "readings"
    metric = "mean_absolute_error"
    title = "Mean absolute error"
    higher_is_better = False
    outputs = (Output("brightness", activation="none"),)

    def caption(self, sample: Sample, class_names: Sequence[str]) -> str:
        return f"{sample.value:.2f}" if isinstance(sample, Reading) else ""

    def counts(self, dataset: Dataset, split: SplitName, pixels: Sequence[int] = ()) -> list[Any]:
        return [len(dataset.splits[split])]

    def inspect(self, sample: Sample, info: ImageInfo, dataset: Dataset) -> Inspection:
        if isinstance(sample, Reading) and not 0 <= sample.value <= 1:
            return Inspection([Problem(sample.source, f"is {sample.value:g} bright", "brightness is in 0..1")])
        return Inspection()


TASK = Brightness()
