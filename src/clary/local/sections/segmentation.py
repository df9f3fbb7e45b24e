"""Segmentation: mIOU, the classes, and the pictures where mask and prediction agree least, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from markupsafe import Markup

from clary.local.evaluations.segmentation import MaskComparison, SegmentationEvaluation
from clary.local.gallery import Shown, shown, title
from clary.local.headline import Tile
from clary.local.sections._base import Section
from clary.vision.base.colours import colours
from clary.vision.plots import confusion
from clary.vision.plots.overlay import draw_mask
from clary.vision.plots.render import svg
from clary.vision.plots.thumbnails import thumbnail

__all__ = ["SECTION"]

MOST_CLASSES = 60  # with more, a confusion matrix shows nothing
HEIGHT = 220  # pixels of each of a pair


class SegmentationSection(Section[SegmentationEvaluation]):
    name = "segmentation"
    template = "results/segmentation.html.j2"
    usage = ".shares()"
    ranked_by = "iou"

    def measured(self, evaluation: SegmentationEvaluation) -> Tile:
        accuracy = evaluation.metrics["pixel_accuracy"]
        remark = f"{accuracy:.1%} of pixels right in {evaluation.count:,} pictures"
        return Tile(f"mIOU on {evaluation.split}", f"{evaluation.metrics['mIOU']:.3f}", remark)

    def remark(self, evaluation: SegmentationEvaluation) -> str:
        numbers = evaluation.metrics
        median = float(np.median(evaluation.by_image))
        present = f"over the classes that are there {numbers['mIOU_present']:.3f}"
        return f"{present}, of a picture in the middle {median:.3f}"

    def results(self, evaluation: SegmentationEvaluation) -> dict[str, Any]:
        """The confusion of pixels as SVG, its width in CSS pixels, and the colours of the classes."""
        names = evaluation.class_names
        legend = [{"name": n, "colour": c} for n, c in zip(names, colours(len(names)), strict=True)]
        if len(names) > MOST_CLASSES:
            return {"legend": legend, "confusion": None, "matrix_width": 0}
        sheet = confusion.draw(evaluation.counts.table, names, shares=True)
        drawn = Markup(svg(sheet, f"Confusion of the pixels of {len(names)} classes"))
        return {"legend": legend, "confusion": drawn, "matrix_width": round(sheet.get_figwidth() * 96)}

    def worst(self, evaluation: SegmentationEvaluation, count: int) -> list[Shown]:
        found = [
            shown(
                comparison.sample,
                title(comparison.sample),
                _wrong(comparison, evaluation.class_names),
                partial(_drawn, comparison),
            )
            for comparison in evaluation.worst(count)
        ]
        return [one for one in found if one]


def _wrong(comparison: MaskComparison, names: Sequence[str]) -> str:
    """``IoU 0.31; 24% of it background taken for pet``."""
    true, said, share = comparison.confused
    return f"IoU {comparison.iou:.2f}; {share:.0%} of it {names[true]} taken for {names[said]}"


def _drawn(comparison: MaskComparison, pixels: np.ndarray) -> np.ndarray:
    """The mask over the picture, and the prediction over the same beside it."""
    # thumbnail takes the longer side; pairs are to be of one height.
    pixels = thumbnail(pixels, round(HEIGHT * max(1.0, pixels.shape[1] / pixels.shape[0])))
    gap = np.full((pixels.shape[0], 4, 3), 255, np.uint8)
    return np.concatenate([draw_mask(pixels, comparison.true), gap, draw_mask(pixels, comparison.predicted)], axis=1)


SECTION = SegmentationSection()
