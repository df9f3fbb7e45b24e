"""Segmentation: mIOU, the classes, and the pictures where mask and prediction agree least, side by side."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from clary.local.evaluations.segmentation import SegmentationEvaluation, View
from clary.local.gallery import Shown, shown
from clary.local.headline import Tile
from clary.local.sections._base import Section
from clary.vision.base.colours import colours
from clary.vision.plots.overlay import draw_mask

__all__ = ["SECTION"]


class SegmentationSection(Section[SegmentationEvaluation]):
    name = "segmentation"
    main = "mIOU"
    title = "mIOU"
    ranked_by = "iou"

    def measured(self, evaluation: SegmentationEvaluation) -> Tile:
        accuracy = evaluation.metrics["pixel_accuracy"]
        remark = f"{accuracy:.1%} of pixels right in {evaluation.count:,} pictures"
        return Tile(f"mIOU on {evaluation.split}", f"{evaluation.metrics['mIOU']:.3f}", remark)

    def remark(self, evaluation: SegmentationEvaluation) -> str:
        numbers = evaluation.metrics
        median = float(np.median(evaluation.by_picture))
        present = f"over the classes that are there {numbers['mIOU_present']:.3f}"
        return f"{present}, of a picture in the middle {median:.3f}"

    def results(self, evaluation: SegmentationEvaluation) -> dict[str, Any]:
        names = evaluation.class_names
        return {"legend": [{"name": n, "colour": c} for n, c in zip(names, colours(len(names)), strict=True)]}

    def worst(self, evaluation: SegmentationEvaluation, count: int) -> list[Shown]:
        found = [
            shown(view.sample, "mask, and what was predicted", f"IoU {view.iou:.2f}", partial(_drawn, view))
            for view in evaluation.worst(count)
        ]
        return [one for one in found if one]


def _drawn(view: View, pixels: np.ndarray) -> np.ndarray:
    """The mask over the picture, and the prediction over the same beside it."""
    gap = np.full((pixels.shape[0], 4, 3), 255, np.uint8)
    return np.concatenate([draw_mask(pixels, view.true), gap, draw_mask(pixels, view.predicted)], axis=1)


SECTION = SegmentationSection()
