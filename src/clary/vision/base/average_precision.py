"""How good detections are: average precision over any number of pictures; numpy only.

Two measures. ``average_precision`` is that of SageMaker's log: the area under the precision-recall curve over all
points (PASCAL VOC since 2010), a detection being held against the true box it overlaps most.
``coco_average_precision`` is COCO's: the mean over 101 recalls, over overlaps of 0.5 to 0.95, of at most 100 detections
of a class in a picture, each taking the best true box that is still free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clary.vision.base.boxes import iou

__all__ = ["COCO_OVERLAPS", "AveragePrecision", "Curve"]

# Rounded, since 0.5 + 0.05 * 7 is 0.8500000000000001. pycocotools has the same ten, and recalls in steps of 0.01.
COCO_OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
COCO_RECALLS = np.linspace(0, 1, 101)
COCO_MOST = 100  # detections of a class in a picture


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall after each detection of a class, best score first; all of shape (detections,).

    ``scores`` are the detections'. Empty for a class without detections.
    """

    precision: np.ndarray
    recall: np.ndarray
    scores: np.ndarray

    @property
    def area(self) -> float:
        """Under the curve made falling: at each recall the best precision at that recall or above; in 0..1."""
        if not len(self.recall):
            return 0.0
        falling = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float((np.diff(self.recall, prepend=0.0) * falling).sum())


class AveragePrecision:
    """Truth and detections of pictures, class by class, and the measures of both.

    ``classes`` is how many there are. Pictures are added one by one; equal scores rank in the order they were added.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._true: list[np.ndarray] = []
        self._found: list[np.ndarray] = []

    def __len__(self) -> int:
        """Pictures added."""
        return len(self._true)

    def add(self, true: np.ndarray, found: np.ndarray) -> None:
        """One picture: ``true`` (n, 5) class id and box, ``found`` (m, 6) class id, score and box.

        Rows of ``true`` below class 0 are padding and left out. Raises ValueError for other shapes or a class beyond.
        """
        if true.ndim != 2 or true.shape[1:] != (5,) or found.ndim != 2 or found.shape[1:] != (6,):
            raise ValueError(f"shapes {true.shape} and {found.shape} are not (n, 5) and (m, 6)")
        if max(true[:, 0].max(initial=-1), found[:, 0].max(initial=-1)) >= self.classes:
            raise ValueError(f"a box has a class beyond {self.classes - 1}")
        # float64: precisions are compared with pycocotools' to 1e-9 in the tests, and boxes arrive as float32.
        self._true.append(true[true[:, 0] >= 0].astype(np.float64))
        best_first = np.argsort(-found[:, 1], kind="stable")
        self._found.append(found[best_first].astype(np.float64))

    @property
    def truths(self) -> np.ndarray:
        """True boxes of each class, (classes,)."""
        ids = np.concatenate([np.empty(0), *(rows[:, 0] for rows in self._true)])
        return np.bincount(ids.astype(np.int64), minlength=self.classes)

    def curve(self, class_id: int, overlap: float = 0.5) -> Curve:
        """Precision and recall of a class. A hit overlaps by more than ``overlap``, and is its true box's first.

        Recall is NaN for a class without true boxes.
        """
        images = [_first_hits(true, found, overlap) for true, found in self._of(class_id)]
        scores, hits = _ranked(self._scores(class_id), images)
        return _curve(hits, scores, int(self.truths[class_id]))

    def average_precision(self, overlap: float = 0.5) -> np.ndarray:
        """(classes,) areas under the curves, in 0..1; NaN for a class without true boxes."""
        return np.array(
            [self.curve(c, overlap).area if truths else np.nan for c, truths in enumerate(self.truths)], dtype=float
        )

    def mean_average_precision(self, overlap: float = 0.5) -> float:
        """Mean over the classes that have true boxes: SageMaker's ``mAP``; 0 where none has any."""
        return _mean(self.average_precision(overlap))

    def coco_average_precision(self, overlaps: Sequence[float] = COCO_OVERLAPS) -> np.ndarray:
        """(overlaps, classes) of COCO's average precision; NaN for a class without true boxes."""
        found = np.full((len(overlaps), self.classes), np.nan)
        for class_id in np.flatnonzero(self.truths).tolist():
            images = [_coco_hits(true, rows[:COCO_MOST], overlaps) for true, rows in self._of(class_id)]
            scores, hits = _ranked(self._scores(class_id, COCO_MOST), images)
            for row, hit in zip(found, hits.T, strict=True):
                row[class_id] = _mean_over_recalls(_curve(hit, scores, int(self.truths[class_id])))
        return found

    def coco(self) -> dict[str, float]:
        """``AP`` (over all of COCO's overlaps), ``AP50`` and ``AP75``; 0 where no class has true boxes."""
        table = self.coco_average_precision()
        fifty, seventy_five = COCO_OVERLAPS.index(0.5), COCO_OVERLAPS.index(0.75)
        return {"AP": _mean(table), "AP50": _mean(table[fifty]), "AP75": _mean(table[seventy_five])}

    def _of(self, class_id: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Boxes, true and found, of a class in each picture."""
        return [
            (true[true[:, 0] == class_id, 1:], found[found[:, 0] == class_id, 2:])
            for true, found in zip(self._true, self._found, strict=True)
        ]

    def _scores(self, class_id: int, most: int | None = None) -> list[np.ndarray]:
        return [found[found[:, 0] == class_id, 1][:most] for found in self._found]


def _first_hits(true: np.ndarray, found: np.ndarray, overlap: float) -> np.ndarray:
    """Which of ``found`` (best first) are hits: (m, 1) booleans."""
    hits = np.zeros((len(found), 1), bool)
    if len(true) and len(found):
        shared = iou(found, true)
        best = shared.argmax(axis=1)
        # Above the overlap, not from it on, and only the box overlapped most is asked (VOC, MXNet's MApMetric): where
        # that one is taken already, the detection is wrong even if another box is free. COCO does both the other way.
        near = np.flatnonzero(shared[np.arange(len(found)), best] > overlap)
        _, first = np.unique(best[near], return_index=True)
        hits[near[first]] = True
    return hits


def _coco_hits(true: np.ndarray, found: np.ndarray, overlaps: Sequence[float]) -> np.ndarray:
    """Which of ``found`` (best first) are hits at each overlap, (m, overlaps): each takes the best one still free."""
    hits = np.zeros((len(found), len(overlaps)), bool)
    if not len(true) or not len(found):
        return hits
    shared = iou(found, true)
    for column, overlap in enumerate(overlaps):
        free = np.ones(len(true), bool)
        # Best score first: who comes first takes the box, so this cannot be done for all rows at once.
        for row in np.flatnonzero((shared >= overlap).any(axis=1)):
            left = np.where(free, shared[row], -1.0)
            # Of equal overlaps the last, as pycocotools, which also takes a later one that is no better.
            best = len(left) - 1 - int(left[::-1].argmax())
            if left[best] >= overlap:
                hits[row, column], free[best] = True, False
    return hits


def _ranked(scores: list[np.ndarray], hits: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All pictures' detections of a class in one row, best score first."""
    together, columns = np.concatenate([np.empty(0), *scores]), max((h.shape[1] for h in hits), default=1)
    order = np.argsort(-together, kind="stable")
    return together[order], np.concatenate([np.empty((0, columns), bool), *hits])[order]


def _curve(hits: np.ndarray, scores: np.ndarray, truths: int) -> Curve:
    right = np.cumsum(hits.ravel())
    precision = right / np.arange(1, len(right) + 1)
    return Curve(precision, right / truths if truths else np.full(len(right), np.nan), scores)


def _mean_over_recalls(curve: Curve) -> float:
    """Mean of the falling curve at 101 recalls, 0 beyond the last one reached."""
    # A recall never reached counts as precision 0: the 0 at the end is what searchsorted finds there.
    falling = np.append(np.maximum.accumulate(curve.precision[::-1])[::-1], 0.0)
    return float(falling[np.searchsorted(curve.recall, COCO_RECALLS, side="left")].mean())


def _mean(values: np.ndarray) -> float:
    # A class without true boxes was not measured; as 0 it would pull the mean down.
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if measured.size else 0.0
