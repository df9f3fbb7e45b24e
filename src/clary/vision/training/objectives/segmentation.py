"""Segmentation: cross-entropy of every pixel, pixel accuracy and mIOU, and which epoch's weights are kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from clary.vision.base.pixels import PixelCounts
from clary.vision.base.types import IGNORED
from clary.vision.tasks.segmentation import TASK
from clary.vision.training.objectives.base import MetricAccumulator, Tally, TaskObjective, add

__all__ = ["SegmentationObjective"]

Logits = Tensor | tuple[Tensor, ...]


class SegmentationObjective(TaskObjective):
    """Mean cross-entropy over the pixels that have a class, plus ``auxiliary`` times that of the auxiliary logits.

    Outputs are logits (N, C, H, W), or a tuple of them, the auxiliary ones last. Targets are uint8 (N, H, W), 255 for
    pixels without a class.
    """

    task = TASK

    def __init__(self, num_classes: int, auxiliary: float = 0.5) -> None:
        self._num_classes = num_classes
        self._auxiliary = auxiliary

    def loss(self, outputs: Logits, targets: Tensor) -> Tensor:
        """float32 scalar; 0 where no pixel has a class."""
        first, *others = outputs if isinstance(outputs, tuple) else (outputs,)
        # cross_entropy takes int64 only; until here masks travel as one byte a pixel.
        classes = targets.long()
        return _mean(first, classes) + self._auxiliary * sum(_mean(one, classes) for one in others)

    def count(self, tally: Tally, outputs: Logits, targets: Tensor, loss: float) -> None:
        add(tally, loss=loss * len(targets), samples=len(targets))

    def metrics(self, tally: Mapping[str, float]) -> dict[str, float]:
        return {"loss": tally.get("loss", 0.0) / max(tally.get("samples", 0.0), 1)}

    def accumulator(self) -> MetricAccumulator:
        return _PixelAccumulator(self, self._num_classes)


class _PixelAccumulator:
    """``loss``, ``pixel_accuracy``, ``mIOU`` over all classes and ``mIOU_present`` over those that are there."""

    def __init__(self, objective: SegmentationObjective, num_classes: int) -> None:
        self._objective = objective
        self._tally: Tally = {}
        self._counts = PixelCounts(num_classes)

    def add(self, outputs: Tensor, targets: Tensor, loss: float) -> None:
        self._objective.count(self._tally, outputs, targets, loss)
        self._counts.add(targets.cpu().numpy(), outputs.argmax(dim=1).to(torch.uint8).cpu().numpy())

    def metrics(self) -> dict[str, float]:
        return self._objective.metrics(self._tally) | {
            "pixel_accuracy": self._counts.pixel_accuracy,
            "mIOU": self._counts.mean_iou,
            "mIOU_present": self._counts.mean_iou_present,
        }


def _mean(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean over pixels that have a class; 0, with gradients of 0, where none has."""
    # A sum and a count of our own: torch's mean over no pixel is NaN, and one such batch would end the run.
    total = F.cross_entropy(logits.float(), classes, ignore_index=IGNORED, reduction="sum")
    return total / (classes != IGNORED).sum().clamp(min=1)
