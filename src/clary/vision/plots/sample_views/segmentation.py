"""Segmentation: masks drawn over the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from clary.errors import ImageError
from clary.vision.base import decoding, preprocessing
from clary.vision.base.types import IGNORED, Dataset, Sample
from clary.vision.plots.overlay import draw_mask
from clary.vision.plots.sample_views._base import Captioned, SampleView, coloured_chart

__all__ = ["VIEW"]

# Masks of a split that are opened to tell how much there is of each class.
MASKS = 200


class MaskView(SampleView):
    name = "segmentation"

    def drawn(self, dataset: Dataset, sample: Sample, pixels: np.ndarray, size: tuple[int, int]) -> Captioned:
        small = preprocessing.resize(pixels, size[1], size[0])
        ids = _ids_of(sample)
        if ids is None:
            return small, "no mask that can be read"
        return draw_mask(small, ids), _shares(ids, dataset.class_names)

    def chart(self, dataset: Dataset) -> Image.Image:
        pixels = {split: _pixels(found, len(dataset.class_names)) for split, found in dataset.splits.items()}
        whole = max(sum(map(sum, pixels.values())), 1)
        # Of all splits together, so that the parts of a bar add up to what the class has in all.
        counts = {split: [100 * count / whole for count in found] for split, found in pixels.items()}
        return coloured_chart(dataset, counts, "{:.1f}%")


def _ids_of(sample: Sample) -> np.ndarray | None:
    try:
        return decoding.decode_mask(sample.mask.read(), sample.mask_values) if sample.mask else None
    except (ImageError, OSError):
        return None


def _shares(ids: np.ndarray, names: Sequence[str]) -> str:
    """``pet 38%, border 11%``: the largest classes of a mask."""
    counts = np.bincount(ids.ravel(), minlength=256)
    known = [(counts[c] / ids.size, name) for c, name in enumerate(names[:IGNORED]) if counts[c]]
    largest = sorted(known, key=lambda pair: -pair[0])[:3]
    return ", ".join(f"{name} {share:.0%}" for share, name in largest) or "nothing but ignored pixels"


def _pixels(found: Sequence[Sample], classes: int) -> list[float]:
    """Pixels of each class in all masks, judged by about MASKS of them spread over the split."""
    # Evenly over the split, not the first so many: layouts list class after class.
    step = max(1, len(found) // MASKS)
    total = np.zeros(classes)
    for sample in found[::step]:
        if (ids := _ids_of(sample)) is not None:
            total += np.bincount(ids.ravel(), minlength=256)[:classes]
    return [float(count) * step for count in total]


VIEW = MaskView()
