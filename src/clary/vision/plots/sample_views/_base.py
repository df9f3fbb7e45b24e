"""How a sample is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from clary.vision.base import preprocessing
from clary.vision.base.types import Dataset, Sample, SplitName, TaskName
from clary.vision.plots import samples
from clary.vision.plots.overlay import colours
from clary.vision.tasks import TASKS

__all__ = ["Captioned", "SampleView"]

Captioned = tuple[np.ndarray, str]


class SampleView:
    """The picture as it is and the task's caption, and how many pictures each class has."""

    name: ClassVar[TaskName]

    def drawn(self, dataset: Dataset, sample: Sample, pixels: np.ndarray, size: tuple[int, int]) -> Captioned:
        """A picture in ``size`` (width, height) with what is known of it, and that in words."""
        caption = TASKS.get(dataset.task).caption(sample, dataset.class_names)
        return preprocessing.resize(pixels, size[1], size[0]), caption

    def chart(self, dataset: Dataset) -> Image.Image:
        """How much there is of each class, by split."""
        counts: dict[str, Sequence[float]] = {split: dataset.counts(split) for split in dataset.splits}
        return samples.distribution(dataset.class_names, counts)


def coloured_chart(dataset: Dataset, counts: Mapping[SplitName, Sequence[float]], spelling: str) -> Image.Image:
    """A chart of what is drawn in the colours of its classes; numbers are spelled by the format ``spelling``."""
    totals: dict[str, int] = {split: len(found) for split, found in dataset.splits.items()}
    names = dataset.class_names
    return samples.distribution(
        names,
        dict(zip(map(str, counts), counts.values(), strict=True)),
        totals_of=totals,
        colours=colours(len(names)),
        spell=spelling.format,
    )
