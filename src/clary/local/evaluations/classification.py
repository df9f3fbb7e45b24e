"""Classification: accuracy, precision and recall by class, and the most confident mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clary.errors import UsageError
from clary.local.evaluations._base import MISTAKES, Evaluation, Evaluator, finite
from clary.vision.base import scores
from clary.vision.base.scores import ClassScores
from clary.vision.base.types import Dataset, Mistake, Prediction, Sample
from clary.vision.inference.predictor import Model
from clary.vision.inference.tasks import Prepared

__all__ = ["EVALUATOR", "ClassificationEvaluation", "ClassificationEvaluator"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationEvaluation(Evaluation):
    """All arrays are in the order of ``samples`` and of the model's class ids.

    ``scores`` are float32 (N, classes). ``true`` are class ids (N,), or, of a multi-label model, booleans (N, classes).
    ``confusion`` has counts (classes, classes), row true; a multi-label model has none. ``metrics``: accuracy,
    macro_f1, log_loss (above 0) and, single-label, top_5_accuracy (of more than 5 classes) and
    expected_calibration_error; multi-label, mean_average_precision, and accuracy counts sample-class cells.
    """

    task = "classification"
    worst_title = "Most confident mistakes"
    columns = {  # noqa: RUF012 - read only
        "name": "class",
        "support": "pictures",
        "precision": "precision",
        "recall": "recall",
        "f1": "F1",
    }

    confusion: np.ndarray | None = field(repr=False)
    scores: np.ndarray = field(repr=False)
    true: np.ndarray = field(repr=False)

    @property
    def multi_label(self) -> bool:
        return self.confusion is None

    @property
    def classes(self) -> ClassScores:
        """Precision, recall, F1 and support of every class; a multi-label score above 0.5 says yes."""
        if self.confusion is None:
            return scores.label_scores(self.true, self.scores)
        return scores.class_scores(self.confusion)

    def worst(self, k: int = MISTAKES) -> list[Mistake]:
        """The ``k`` most confident mistakes, most confident first."""
        doubt = self._cell_errors() if self.multi_label else self._class_errors()
        wrong = np.argsort(-doubt, kind="stable")[:k]
        return [self._mistake(int(i), float(doubt[i])) for i in wrong if doubt[i] > 0]

    def class_rows(self) -> list[dict[str, Any]]:
        numbers = self.classes
        return [
            {
                "name": name,
                "precision": finite(numbers.precision[i]),
                "recall": finite(numbers.recall[i]),
                "f1": finite(numbers.f1[i]),
                "support": int(numbers.support[i]),
            }
            for i, name in enumerate(self.class_names)
        ]

    def mistake_rows(self, k: int = MISTAKES) -> list[dict[str, Any]]:
        return [
            {"image": str(m.sample.image), "true": m.true, "predicted": m.predicted, "score": round(m.score, 6)}
            for m in self.worst(k)
        ]

    def summary(self) -> str:
        kind = " (share of labels right)" if self.multi_label else ""
        accuracy = f"accuracy {self.metrics['accuracy']:.4f} on {self.count} {self.split} pictures{kind}"
        return f"{accuracy}, macro F1 {self.metrics['macro_f1']:.4f}"

    def details(self) -> dict[str, Any]:
        return {"confusion": None if self.confusion is None else self.confusion.tolist()}

    def _class_errors(self) -> np.ndarray:
        """The highest score where it is wrong, else 0: shape (N,)."""
        # 0 is no mistake (see worst): a score that wins is above it.
        return np.where(self.scores.argmax(axis=1) == self.true, 0, self.scores.max(axis=1))

    def _cell_errors(self) -> np.ndarray:
        """The confidence in the worst label that is wrong, else 0: shape (N,)."""
        wrong = (self.scores > 0.5) != self.true
        # Sure of a wrong yes, or of a wrong no.
        doubt: np.ndarray = np.where(wrong, np.maximum(self.scores, 1 - self.scores), 0).max(axis=1)
        return doubt

    def _mistake(self, i: int, score: float) -> Mistake:
        if self.multi_label:
            true, predicted = self._labels(self.true[i]), self._labels(self.scores[i] > 0.5)
        else:
            true, predicted = self.class_names[self.true[i]], self.class_names[self.scores[i].argmax()]
        return Mistake(self.samples[i], true, predicted, score)

    def _labels(self, flags: np.ndarray) -> str:
        return ", ".join(self.class_names[c] for c in np.flatnonzero(flags)) or "(none)"


class ClassificationEvaluator(Evaluator[tuple[int, ...]]):
    """Keeps the scores of every picture. Raises UsageError for labels a single-label model cannot have."""

    name = "classification"

    def __init__(self, network: Model, data: Dataset, ids: Mapping[int, int], samples: Sequence[Sample]) -> None:
        super().__init__(network, data, ids, samples)
        # Before the first picture, by the labels alone: it would be found out in the middle of the work.
        if not network.manifest.multi_label and any(len(sample.classes) != 1 for sample in samples):
            hint = "train with `multi_label=1`, or name a single-label data set"
            what = "has pictures with several labels or none, the model gives each exactly one"
            raise UsageError(what, where=data.root, hint=hint)
        self._true: list[tuple[int, ...]] = []
        self._scores: list[np.ndarray] = []

    def truth(self, sample: Sample, image: Prepared) -> tuple[int, ...]:
        return tuple(self.ids[c] for c in sample.classes)

    def add(self, sample: Sample, truth: tuple[int, ...], prediction: Prediction) -> None:
        self._true.append(truth)
        self._scores.append(prediction.scores)

    def evaluation(self, context: Mapping[str, Any]) -> ClassificationEvaluation:
        table = np.stack(self._scores)
        if self.network.manifest.multi_label:
            true = scores.cells(self._true, len(self.network.labels))
        else:
            true = np.array([ids[0] for ids in self._true], dtype=np.int64)
        metrics, matrix = _measured(true, table)
        return ClassificationEvaluation(**context, metrics=metrics, confusion=matrix, scores=table, true=true)


def _measured(true: np.ndarray, table: np.ndarray) -> tuple[dict[str, float], np.ndarray | None]:
    """Metrics, and the confusion matrix of single-label truth."""
    if true.ndim == 2:
        return {
            "accuracy": scores.cell_accuracy(true, table),
            "mean_average_precision": scores.mean_average_precision(true, table),
            "macro_f1": scores.macro_f1(scores.label_scores(true, table)),
            "log_loss": scores.cell_log_loss(true, table),
        }, None
    predicted, classes = table.argmax(axis=1), table.shape[1]
    matrix = scores.confusion(true, predicted, classes)
    metrics = {"accuracy": scores.accuracy(true, predicted)}
    if classes > 5:
        metrics["top_5_accuracy"] = scores.top_k_accuracy(true, table, 5)
    metrics["macro_f1"] = scores.macro_f1(scores.class_scores(matrix))
    metrics["log_loss"] = scores.log_loss(true, table)
    metrics["expected_calibration_error"] = scores.expected_calibration_error(true, table)
    return metrics, matrix


EVALUATOR = ClassificationEvaluator
