"""How good a segmentation is: counts of pixels, summed over any number of pictures; numpy only."""

from __future__ import annotations

import numpy as np

from clary.vision.base.types import IGNORED

__all__ = ["PixelCounts"]


class PixelCounts:
    """Pixels by true (row) and predicted (column) class, int64 (classes, classes). Ignored pixels are left out."""

    def __init__(self, classes: int) -> None:
        self.table = np.zeros((classes, classes), np.int64)

    def add(self, true: np.ndarray, predicted: np.ndarray) -> None:
        """Count two integer arrays of one shape. Raises ValueError for a predicted or true class out of range."""
        if true.shape != predicted.shape:
            raise ValueError(f"masks of {true.shape} and {predicted.shape} do not fit together")
        classes = len(self.table)
        kept = true != IGNORED
        # Before the sum below: uint8 ids would wrap round in ``true * classes``.
        true, predicted = true[kept].astype(np.int64), predicted[kept].astype(np.int64)
        if true.size and (true.min() < 0 or predicted.min() < 0 or max(true.max(), predicted.max()) >= classes):
            raise ValueError(f"a mask holds classes beyond 0..{classes - 1}")
        self.table += np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)

    @property
    def pixel_accuracy(self) -> float:
        """Share of pixels of the right class, in 0..1; 0 where none were counted."""
        return float(self.table.trace() / max(self.table.sum(), 1))

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each class, (classes,) in 0..1; NaN for one neither true nor predicted."""
        both = np.diag(self.table)
        union = self.table.sum(0) + self.table.sum(1) - both
        with np.errstate(invalid="ignore"):
            return both / np.where(union > 0, union, np.nan)

    @property
    def mean_iou(self) -> float:
        """Mean over all classes, one that never appears counting 0: SageMaker's ``mIOU``."""
        # A class that is nowhere counts 0, as in the original's log, though it says nothing of the network: hence the
        # other.
        return float(np.nan_to_num(self.iou).mean())

    @property
    def mean_iou_present(self) -> float:
        """Mean over the classes that are in the truth; 0 where there are none."""
        present = self.table.sum(1) > 0
        return float(np.nan_to_num(self.iou[present]).mean()) if present.any() else 0.0
