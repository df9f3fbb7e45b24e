"""Detection: mAP, precision against recall, and the pictures with most boxes missed or wrong."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from markupsafe import Markup

from clary.local.evaluations.detection import SCORE, BoxComparison, DetectionEvaluation
from clary.local.gallery import Shown, shown, title
from clary.local.headline import Tile
from clary.local.sections._base import Section
from clary.vision.base.types import Box
from clary.vision.plots import precision_recall
from clary.vision.plots.overlay import draw_boxes
from clary.vision.plots.render import svg

__all__ = ["SECTION"]

LETTER = 15  # pixels of a label, of pictures shown at about three quarters of their size
# Okabe and Ito's colours (Color Universal Design, 2008): what a box is, not its class, which stands on it.
INKS: Mapping[str, tuple[int, int, int]] = {
    "true, found": (255, 255, 255),
    "true, missed": (240, 228, 66),
    "right": (0, 158, 115),
    "wrong": (213, 94, 0),
}


class DetectionSection(Section[DetectionEvaluation]):
    name = "detection"
    template = "results/detection.html.j2"
    usage = ".above(0.5)"
    ranked_by = "average_precision"

    def measured(self, evaluation: DetectionEvaluation) -> Tile:
        boxes = int(evaluation.measure.truths.sum())
        remark = f"{boxes:,} boxes in {evaluation.count:,} pictures, at an overlap of 0.5"
        return Tile(f"mAP on {evaluation.split}", f"{evaluation.metrics['mAP']:.3f}", remark)

    def remark(self, evaluation: DetectionEvaluation) -> str:
        numbers = evaluation.metrics
        return f"COCO's AP {numbers['AP']:.3f}, AP50 {numbers['AP50']:.3f}, AP75 {numbers['AP75']:.3f}"

    def results(self, evaluation: DetectionEvaluation) -> dict[str, Any]:
        sheet = precision_recall.draw(evaluation.curves(), evaluation.class_names, SCORE)
        legend = [{"name": name, "colour": "#{:02x}{:02x}{:02x}".format(*ink)} for name, ink in INKS.items()]
        return {"curves": Markup(svg(sheet, "Precision against recall by class")), "least": SCORE, "legend": legend}

    def worst(self, evaluation: DetectionEvaluation, count: int) -> list[Shown]:
        found = [
            shown(
                comparison.sample,
                title(comparison.sample),
                comparison.reason,
                partial(_drawn, comparison, evaluation.class_names),
            )
            for comparison in evaluation.worst(count)
        ]
        return [one for one in found if one]


def _drawn(comparison: BoxComparison, names: tuple[str, ...], pixels: np.ndarray) -> np.ndarray:
    """True boxes broken, those found solid with their scores, in the colours of INKS."""
    found = comparison.found
    # Marked difficult for their broken lines alone, which tell them from what was found.
    true = [Box(b.class_id, b.xmin, b.ymin, b.xmax, b.ymax, difficult=True) for b in comparison.true]
    missed = [
        "" if hit else f"missed {names[box.class_id]}" for box, hit in zip(comparison.true, comparison.hit, strict=True)
    ]
    words = [f"{label} {score:.2f}" for label, score in zip(found.labels, found.scores, strict=True)]
    inks = [INKS["true, found" if hit else "true, missed"] for hit in comparison.hit]
    inks += [INKS["right" if verdict == "right" else "wrong"] for verdict in comparison.verdicts]
    size = (found.width, found.height)
    boxes = [*true, *found.as_boxes()]
    return draw_boxes(pixels, boxes, names, size, captions=missed + words, inks=inks, letter=LETTER)


SECTION = DetectionSection()
