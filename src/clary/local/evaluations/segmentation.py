"""Segmentation: pixel accuracy, intersection over union by class, and the pictures that agree least."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clary.errors import DataError, ImageError
from clary.local.evaluations._base import MISTAKES, Evaluation, Evaluator, finite
from clary.vision.base.decoding import decode_mask
from clary.vision.base.pixels import PixelCounts
from clary.vision.base.types import IGNORED, Dataset, Sample, Segmentation
from clary.vision.inference.predictor import Model
from clary.vision.inference.tasks import Prepared

__all__ = ["EVALUATOR", "MaskComparison", "SegmentationEvaluation", "SegmentationEvaluator"]

KEPT = 24  # pictures whose masks are kept, those that agree least
SIDE = 512  # pixels of the longer side of a mask that is kept, to be looked at


@dataclass(frozen=True, slots=True)
class MaskComparison:
    """One picture: its mean intersection over union, which true class was most often taken for which other and for
    what share of the labelled pixels, and the class ids that are true and predicted, uint8, the longer side at most
    about SIDE pixels."""

    sample: Sample
    iou: float
    confused: tuple[int, int, float]
    true: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationEvaluation(Evaluation):
    """``metrics``: pixel_accuracy, mIOU over all classes (SageMaker's) and mIOU_present over those that are there.

    ``counts`` are the pixels by true and predicted class. ``by_image`` is the mean intersection over union of each
    of ``samples``, over the classes in its mask or its prediction; ``comparisons`` are the KEPT lowest, lowest first.
    """

    task = "segmentation"
    columns = {  # noqa: RUF012 - read only
        "name": "class",
        "support": "pixels",
        "iou": "IoU",
        "precision": "precision",
        "recall": "recall",
    }

    counts: PixelCounts = field(repr=False)
    by_image: np.ndarray = field(repr=False)
    comparisons: tuple[MaskComparison, ...] = field(repr=False)

    def worst(self, k: int = MISTAKES) -> list[MaskComparison]:
        """The ``k`` pictures that agree least, at most KEPT."""
        return [comparison for comparison in self.comparisons if comparison.iou < 1][:k]

    def class_rows(self) -> list[dict[str, Any]]:
        table, union = self.counts.table, self.counts.iou
        both, true, said = np.diag(table), table.sum(axis=1), table.sum(axis=0)
        return [
            {
                "name": name,
                "support": int(true[c]),
                "iou": finite(union[c]),
                "precision": finite(both[c] / said[c]) if said[c] else None,
                "recall": finite(both[c] / true[c]) if true[c] else None,
            }
            for c, name in enumerate(self.class_names)
        ]

    def mistake_rows(self, k: int = MISTAKES) -> list[dict[str, Any]]:
        return [
            {"image": str(comparison.sample.image), "iou": round(comparison.iou, 6)} for comparison in self.worst(k)
        ]

    def summary(self) -> str:
        numbers = self.metrics
        present = f" ({numbers['mIOU_present']:.4f} over the classes that are there)"
        beside = present if f"{numbers['mIOU_present']:.4f}" != f"{numbers['mIOU']:.4f}" else ""
        accuracy = f"pixel accuracy {numbers['pixel_accuracy']:.4f}"
        return f"mIOU {numbers['mIOU']:.4f}{beside} on {self.count} {self.split} pictures, {accuracy}"

    def details(self) -> dict[str, Any]:
        return {"confusion": self.counts.table.tolist()}


class SegmentationEvaluator(Evaluator[np.ndarray]):
    """Counts pixels; ignored ones are left out."""

    name = "segmentation"

    def __init__(self, network: Model, data: Dataset, ids: Mapping[int, int], samples: Sequence[Sample]) -> None:
        super().__init__(network, data, ids, samples)
        self._counts = PixelCounts(len(network.labels))
        self._by_image: list[float] = []
        # A heap, the best of the worst on top.
        self._kept: list[tuple[float, int, MaskComparison]] = []
        # One look-up a pixel in place of a comparison a class.
        self._table = np.full(256, IGNORED, np.uint8)
        for mine, theirs in ids.items():
            self._table[mine] = theirs

    def truth(self, sample: Sample, image: Prepared) -> np.ndarray:
        assert sample.mask is not None
        try:
            mask = decode_mask(sample.mask.read(), sample.mask_values)
        except ImageError as error:
            raise DataError(error.what, where=sample.mask, hint=error.hint) from error
        if mask.shape != image.size[::-1]:
            found = f"{mask.shape[1]} x {mask.shape[0]} pixels, the picture {image.size[0]} x {image.size[1]}"
            raise DataError(f"is a mask of {found}", where=sample.mask, hint="export them in one size")
        beyond = [i for i in np.unique(mask).tolist() if i != IGNORED and i not in self.ids]
        if beyond:
            what = f"has pixels of class id {beyond[0]}, the highest known is {len(self.ids) - 1}"
            raise DataError(what, where=sample.mask, hint="see `clary data check`")
        truth: np.ndarray = self._table[mask]
        return truth

    def add(self, sample: Sample, truth: np.ndarray, prediction: Segmentation) -> None:
        alone = PixelCounts(len(self.network.labels))
        alone.add(truth, prediction.classes)
        # mIOU of the whole is over the pixels of all pictures, as SageMaker's, not the mean over pictures.
        self._counts.table += alone.table
        there = alone.iou[~np.isnan(alone.iou)]
        agreed = float(there.mean()) if there.size else 1.0  # nothing but ignored pixels
        self._by_image.append(agreed)
        if len(self._kept) < KEPT or agreed < -self._kept[0][0]:
            # Every n-th pixel: class ids cannot be averaged, and the rest of the mask is let go.
            step = max(1, -(-max(truth.shape) // SIDE))
            shown = truth[::step, ::step].copy(), prediction.classes[::step, ::step].copy()
            comparison = MaskComparison(sample, agreed, _most_confused(alone.table), *shown)
            # By the negative, so that the best of the worst is on top and goes first; the number of the picture decides
            # between equals, since comparisons hold arrays, which have no order.
            (heapq.heappush if len(self._kept) < KEPT else heapq.heapreplace)(
                self._kept, (-agreed, -len(self._by_image), comparison)
            )

    def evaluation(self, context: Mapping[str, Any]) -> SegmentationEvaluation:
        counts = self._counts
        metrics = {
            "pixel_accuracy": counts.pixel_accuracy,
            "mIOU": counts.mean_iou,
            "mIOU_present": counts.mean_iou_present,
        }
        comparisons = tuple(comparison for *_, comparison in sorted(self._kept, key=lambda one: (-one[0], -one[1])))
        by_image = np.array(self._by_image)
        return SegmentationEvaluation(
            **context, metrics=metrics, counts=counts, by_image=by_image, comparisons=comparisons
        )


def _most_confused(table: np.ndarray) -> tuple[int, int, float]:
    """The true class, the class it was most often taken for, and the share of all pixels in ``table``."""
    wrong = table - np.diag(np.diag(table))
    true, said = divmod(int(wrong.argmax()), len(table))
    return true, said, float(wrong[true, said] / max(int(table.sum()), 1))


EVALUATOR = SegmentationEvaluator
