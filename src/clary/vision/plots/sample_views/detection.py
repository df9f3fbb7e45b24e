"""Detection: boxes drawn into the picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from clary.vision.base import decoding
from clary.vision.base.types import Dataset, Sample
from clary.vision.plots.overlay import draw_boxes
from clary.vision.plots.sample_views._base import Captioned, SampleView, coloured_chart
from clary.vision.tasks.detection import TASK

__all__ = ["VIEW"]


class BoxView(SampleView):
    name = TASK.name

    def drawn(self, dataset: Dataset, sample: Sample, pixels: np.ndarray, size: tuple[int, int]) -> Captioned:
        small, caption = super().drawn(dataset, sample, pixels, size)
        # Boxes are in pixels of the upright picture, whatever its EXIF tag says of how it lies in the file.
        whole = decoding.upright_size(sample.image.read())
        return draw_boxes(small, sample.boxes, dataset.class_names, whole), caption

    def chart(self, dataset: Dataset) -> Image.Image:
        counts = {split: [float(count) for count in TASK.counts(dataset, split)] for split in dataset.splits}
        return coloured_chart(dataset, counts, "{:.0f}")


VIEW = BoxView()
