"""Detection: mAP, precision against recall, and the pictures with most boxes missed or wrong."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from markupsafe import Markup

from clary.local.evaluations.detection import SCORE, DetectionEvaluation, Look
from clary.local.gallery import Shown, shown
from clary.local.headline import Tile
from clary.local.sections._base import Section
from clary.vision.base.types import Box
from clary.vision.plots import precision_recall
from clary.vision.plots.overlay import draw_boxes
from clary.vision.plots.render import svg

__all__ = ["SECTION"]


class Detection(Section[DetectionEvaluation]):
    name = "detection"
    main = "mAP"
    title = "mAP"
    ranked_by = "average_precision"

    def measured(self, evaluation: DetectionEvaluation) -> Tile:
        boxes = int(evaluation.measure.truths.sum())
        remark = f"{boxes:,} boxes in {evaluation.count:,} pictures, at an overlap of 0.5"
        return Tile(f"mAP on {evaluation.split}", f"{evaluation.metrics['mAP']:.3f}", remark)

    def remark(self, evaluation: DetectionEvaluation) -> str:
        numbers = evaluation.metrics
        return f"COCO's AP {numbers['AP']:.3f}, AP50 {numbers['AP50']:.3f}, AP75 {numbers['AP75']:.3f}"

    def results(self, evaluation: DetectionEvaluation) -> dict[str, Any]:
        sheet = precision_recall.draw(evaluation.curves(), evaluation.class_names)
        return {"curves": Markup(svg(sheet, "Precision against recall by class")), "least": SCORE}

    def worst(self, evaluation: DetectionEvaluation, count: int) -> list[Shown]:
        found = [
            shown(look.sample, _said(look), _wrong(look), partial(_drawn, look, evaluation.class_names))
            for look in evaluation.worst(count)
        ]
        return [one for one in found if one]


def _said(look: Look) -> str:
    return f"{len(look.true)} true, {len(look.found)} found"


def _wrong(look: Look) -> str:
    return ", ".join(f"{n} {word}" for n, word in ((look.missed, "missed"), (look.wrong, "wrong")) if n)


def _drawn(look: Look, names: tuple[str, ...], pixels: np.ndarray) -> np.ndarray:
    """True boxes broken, those found solid with their scores."""
    true = [Box(b.class_id, b.xmin, b.ymin, b.xmax, b.ymax, difficult=True) for b in look.true]
    found = look.found
    words = [f"{label} {score:.2f}" for label, score in zip(found.labels, found.scores, strict=True)]
    size = (found.width, found.height)
    return draw_boxes(pixels, [*true, *found.as_boxes()], names, size, captions=["" for _ in true] + words)


SECTION = Detection()
