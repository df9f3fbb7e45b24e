"""Detection: average precision, precision-recall curves, and the pictures with most mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from clary.local.evaluations._base import MISTAKES, Evaluation, Evaluator, finite
from clary.vision.base.average_precision import AveragePrecision, Curve
from clary.vision.base.boxes import iou
from clary.vision.base.types import Box, Dataset, Detections, Sample
from clary.vision.inference.predictor import Model
from clary.vision.inference.tasks import Prepared

__all__ = ["EVALUATOR", "SCORE", "BoxComparison", "DetectionEvaluation", "DetectionEvaluator", "Verdict"]

SCORE = 0.3  # from which a box counts as said, where one has to choose: by single pictures, and shown ones
OVERLAP = 0.5  # from which it is a hit
NEAR = 0.1  # from which it is meant for a true box, if badly

# What a box that was said turned out to be: right; of the right place and another class; of a true box that has a surer
# one; of a true box it overlaps too little; of nothing.
Verdict = Literal["right", "of another class", "double", "badly placed", "false"]
_WRONG: tuple[Verdict, ...] = ("of another class", "badly placed", "double", "false")


@dataclass(frozen=True, slots=True)
class BoxComparison:
    """One picture: its true boxes in pixels and class ids of the model, what was said with SCORE or more, a verdict on
    each box that was said, and which true boxes were hit."""

    sample: Sample
    true: tuple[Box, ...]
    found: Detections
    verdicts: tuple[Verdict, ...]
    hit: tuple[bool, ...]

    @property
    def missed(self) -> int:
        """True boxes that no box found."""
        return self.hit.count(False)

    @property
    def wrong(self) -> int:
        """Boxes said that hit nothing."""
        return len(self.verdicts) - self.verdicts.count("right")

    @property
    def reason(self) -> str:
        """What is wrong in words: ``1 missed, 2 badly placed, 1 false``; empty where nothing is."""
        counts = Counter(self.verdicts)
        said = [(self.missed, "missed"), *((counts[word], word) for word in _WRONG)]
        return ", ".join(f"{count} {word}" for count, word in said if count)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionEvaluation(Evaluation):
    """``metrics``: mAP (SageMaker's, at an overlap of 0.5), and COCO's AP, AP50 and AP75.

    ``measure`` holds truth and detections of all pictures; ``comparisons`` are single ones in the order of ``samples``.
    """

    task = "detection"
    columns = {  # noqa: RUF012 - read only
        "name": "class",
        "support": "boxes",
        "average_precision": "AP at 0.5",
        "coco_average_precision": "AP (COCO)",
        "precision": f"precision at {SCORE}",
        "recall": f"recall at {SCORE}",
    }

    measure: AveragePrecision = field(repr=False)
    comparisons: tuple[BoxComparison, ...] = field(repr=False)

    def curves(self) -> list[Curve]:
        """The precision-recall curve of each class at an overlap of 0.5."""
        return [self.measure.curve(c, OVERLAP) for c in range(len(self.class_names))]

    def worst(self, k: int = MISTAKES) -> list[BoxComparison]:
        """The ``k`` pictures with most boxes missed or wrong; of equal ones that with the surer mistakes first."""
        faulty = [comparison for comparison in self.comparisons if comparison.missed or comparison.wrong]
        return sorted(
            faulty,
            key=lambda comparison: (
                -comparison.missed - comparison.wrong,
                -float(comparison.found.scores.max(initial=0)),
            ),
        )[:k]

    def class_rows(self) -> list[dict[str, Any]]:
        precision = self.measure.average_precision(OVERLAP)
        # A class without true boxes has no precision: NaN here, null in what is shown.
        with np.errstate(invalid="ignore"):
            coco = self.measure.coco_average_precision().mean(axis=0)
        rows = []
        for c, (name, curve) in enumerate(zip(self.class_names, self.curves(), strict=True)):
            said = int((curve.scores >= SCORE).sum())
            rows.append(
                {
                    "name": name,
                    "support": int(self.measure.truths[c]),
                    "average_precision": finite(precision[c]),
                    "coco_average_precision": finite(coco[c]),
                    "precision": finite(curve.precision[said - 1]) if said else None,
                    "recall": finite(curve.recall[said - 1]) if said else (0.0 if self.measure.truths[c] else None),
                }
            )
        return rows

    def mistake_rows(self, k: int = MISTAKES) -> list[dict[str, Any]]:
        return [
            {
                "image": str(comparison.sample.image),
                "boxes": len(comparison.true),
                "missed": comparison.missed,
                "wrong": comparison.wrong,
                "reason": comparison.reason,
            }
            for comparison in self.worst(k)
        ]

    def summary(self) -> str:
        numbers = ", ".join(f"{name} {self.metrics[name]:.4f}" for name in ("AP", "AP50", "AP75"))
        return f"mAP {self.metrics['mAP']:.4f} on {self.count} {self.split} pictures (COCO {numbers})"


class DetectionEvaluator(Evaluator[tuple[Box, ...]]):
    """Counts boxes; those marked difficult like the others, as SageMaker's metric does."""

    name = "detection"

    def __init__(self, network: Model, data: Dataset, ids: Mapping[int, int], samples: Sequence[Sample]) -> None:
        super().__init__(network, data, ids, samples)
        self._measure = AveragePrecision(len(network.labels))
        self._comparisons: list[BoxComparison] = []

    def truth(self, sample: Sample, image: Prepared) -> tuple[Box, ...]:
        return tuple(Box(self.ids[b.class_id], b.xmin, b.ymin, b.xmax, b.ymax, b.difficult) for b in sample.boxes)

    def add(self, sample: Sample, truth: tuple[Box, ...], prediction: Detections) -> None:
        # Fractions of the picture, as the network's boxes are.
        size = np.array([prediction.width, prediction.height] * 2)
        boxes = np.array([(b.xmin, b.ymin, b.xmax, b.ymax) for b in truth], dtype=np.float64).reshape(-1, 4) / size
        rows = np.column_stack([[b.class_id for b in truth], boxes]) if truth else np.empty((0, 5))
        self._measure.add(rows, prediction.rows)
        said = prediction.above(SCORE)
        self._comparisons.append(BoxComparison(sample, truth, said, *_judged(rows, said)))

    def evaluation(self, context: Mapping[str, Any]) -> DetectionEvaluation:
        metrics = {"mAP": self._measure.mean_average_precision(OVERLAP), **self._measure.coco()}
        return DetectionEvaluation(
            **context, metrics=metrics, measure=self._measure, comparisons=tuple(self._comparisons)
        )


def _judged(true: np.ndarray, found: Detections) -> tuple[tuple[Verdict, ...], tuple[bool, ...]]:
    """A verdict on each box found, the surest first, and which true ones were hit; each is hit once."""
    verdicts: list[Verdict] = []
    if not len(true):
        verdicts += ["false"] * len(found)
        return tuple(verdicts), ()
    overlaps = iou(found.boxes.astype(np.float64).reshape(-1, 4), true[:, 1:])
    same = found.class_ids[:, None] == true[None, :, 0]
    hit = np.zeros(len(true), bool)
    for shared, alike in zip(overlaps, same, strict=True):
        # As average precision counts (COCO, VOC): each true box is found once, by the surest that reaches it.
        free = np.where(alike & ~hit, shared, 0.0)
        best = int(free.argmax())
        # Above, not from: SageMaker's metric asks for more than overlap_threshold.
        if free[best] > OVERLAP:
            hit[best] = True
            verdicts.append("right")
        else:
            verdicts.append(_fault(shared, alike))
    return tuple(verdicts), tuple(map(bool, hit))


def _fault(shared: np.ndarray, alike: np.ndarray) -> Verdict:
    """What is wrong with a box of these overlaps with the true ones, ``alike`` those of its class."""
    if (shared[alike] > OVERLAP).any():
        return "double"
    if (shared > OVERLAP).any():
        return "of another class"
    return "badly placed" if (shared[alike] > NEAR).any() else "false"


EVALUATOR = DetectionEvaluator
