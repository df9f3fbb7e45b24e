"""Classification: cross-entropy, accuracy, and which epoch's weights are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clary.vision.tasks.classification import TASK
from clary.vision.training.objectives.base import (
    MetricAccumulator,
    Tally,
    TallyAccumulator,
    TaskObjective,
    add,
    as_good,
)

__all__ = ["ClassificationObjective", "positive_weights"]


class ClassificationObjective(TaskObjective):
    """Cross-entropy of one class a picture, or of independent yes/no classes.

    Targets are int64 (N,), multi-label float32 (N, C) of 0 and 1. ``positive_weights`` (C,) weigh the "yes" of
    each class in the multi-label loss. ``late_samples`` is the size of the validation split where late epochs are
    preferred (see ``keeps``).
    """

    task = TASK

    def __init__(
        self,
        *,
        multi_label: bool = False,
        positive_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
        top_k: int | None = None,
        late_samples: int = 0,
    ) -> None:
        self.multi_label = multi_label
        self._positive_weights = positive_weights
        self._smoothing = label_smoothing
        self._top_k = top_k
        self._late_samples = late_samples

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss, float32 scalar, of logits (N, C)."""
        # A softmax in bf16 loses what is left of the loss once the network is sure.
        outputs = outputs.float()
        if self.multi_label:
            # Two answers for each class, yes and no: the share goes to both alike.
            smooth = targets * (1 - self._smoothing) + self._smoothing / 2
            return F.binary_cross_entropy_with_logits(outputs, smooth, pos_weight=self._positive_weights)
        return F.cross_entropy(outputs, targets, label_smoothing=self._smoothing)

    def count(self, tally: Tally, outputs: Tensor, targets: Tensor, loss: float) -> None:
        """Add correct answers; in multi-label sets every sample-class cell at threshold 0.5 is one answer."""
        if self.multi_label:
            correct, answers = ((outputs > 0) == (targets > 0.5)).sum(), targets.numel()
        else:
            correct, answers = (outputs.argmax(1) == targets).sum(), len(targets)
        add(tally, correct=float(correct), answers=answers, loss=loss * len(targets), samples=len(targets))
        if self._top_k and not self.multi_label:
            best = outputs.topk(self._top_k, dim=1).indices
            add(tally, top_k_correct=float((best == targets[:, None]).any(1).sum()))

    def metrics(self, tally: Mapping[str, float]) -> dict[str, float]:
        """``loss``, ``accuracy`` and, with ``top_k``, ``top_k_accuracy_<k>``."""
        found = {
            "loss": tally.get("loss", 0.0) / max(tally.get("samples", 0.0), 1),
            "accuracy": tally.get("correct", 0.0) / max(tally.get("answers", 0.0), 1),
        }
        if "top_k_correct" in tally:
            found[f"top_k_accuracy_{self._top_k}"] = tally["top_k_correct"] / max(tally["samples"], 1)
        return found

    def accumulator(self) -> MetricAccumulator:
        return TallyAccumulator(self)

    def keeps(self, new: Mapping[str, float], earlier: Sequence[Mapping[str, float]]) -> bool:
        """Strictly higher accuracy than ever before; equal accuracy does not replace the best, as in the original.

        With ``late_samples``, how many are validated on, the latest epoch that is as good as the best.
        """
        best = max((epoch["accuracy"] for epoch in earlier), default=-1.0)
        if not self._late_samples or best < 0:
            return new["accuracy"] > best
        return as_good(new["accuracy"], best, self._late_samples)


def positive_weights(targets: Tensor) -> Tensor:
    """(C,) negatives / positives of each class of multi-hot (N, C); 1 for a class without positives."""
    positives = targets.sum(0)
    # The original's formula was never published; its name, pos_cls_weights, says as much.
    return torch.where(positives > 0, (len(targets) - positives) / positives.clamp(min=1), torch.ones_like(positives))
