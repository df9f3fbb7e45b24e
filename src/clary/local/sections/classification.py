"""Classification: accuracy with its uncertainty, the confusion matrix, the most confident mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from clary.local.evaluations.classification import ClassificationEvaluation
from clary.local.gallery import Shown, shown
from clary.local.headline import Tile
from clary.local.sections._base import History, Section
from clary.vision.base.scores import wilson_interval
from clary.vision.plots import confusion, curves
from clary.vision.plots._style import Figure
from clary.vision.plots.render import svg

__all__ = ["SECTION"]

MOST_PAIRS = 5  # pairs of classes named as confused
MOST_CLASSES = 200  # with more, a confusion matrix shows nothing


class ClassificationSection(Section[ClassificationEvaluation]):
    name = "classification"
    template = "results/classification.html.j2"
    usage = ".top(3)"
    ranked_by = "f1"

    def measured(self, evaluation: ClassificationEvaluation) -> Tile:
        accuracy = evaluation.metrics["accuracy"]
        name = f"Accuracy on {evaluation.split}"
        if evaluation.multi_label:
            precision = evaluation.metrics["mean_average_precision"]
            return Tile(name, f"{accuracy:.1%}", f"of labels right; mAP {precision:.3f}")
        right = round(accuracy * evaluation.count)
        # Wilson's, which stays within 0 and 1 and says something even where all are right.
        low, high = wilson_interval(right, evaluation.count)
        remark = f"{right:,} of {evaluation.count:,} right; 95% interval {low:.1%} to {high:.1%}"
        return Tile(name, f"{accuracy:.1%}", remark)

    def spelled(self, value: float) -> str:
        return f"{value:.1%}"

    def remark(self, evaluation: ClassificationEvaluation) -> str:
        words = {
            "top_5_accuracy": "top-5 accuracy",
            "mean_average_precision": "mean average precision",
            "macro_f1": "macro F1",
            "log_loss": "log loss",
            "expected_calibration_error": "expected calibration error",
        }
        metrics = evaluation.metrics
        return ", ".join(f"{word} {metrics[name]:.3f}" for name, word in words.items() if name in metrics)

    def charts(self, history: History) -> Iterator[tuple[str, Figure]]:
        yield "Accuracy", curves.accuracy(history)
        yield "Loss", curves.loss(history)
        yield "Learning rate", curves.learning_rate(history)

    def results(self, evaluation: ClassificationEvaluation) -> dict[str, Any]:
        """The confusion matrix as SVG, its width in CSS pixels, and the pairs most often confused."""
        matrix, names = evaluation.confusion, evaluation.class_names
        if matrix is None or len(matrix) > MOST_CLASSES:
            return {"confusion": None, "matrix_width": 0, "confused": []}
        sheet = confusion.draw(matrix, names)
        return {
            "confusion": Markup(svg(sheet, f"Confusion matrix of {len(names)} classes")),
            # CSS has 96 pixels to the inch.
            "matrix_width": round(sheet.get_figwidth() * 96),
            "confused": _confused(matrix, names),
        }

    def worst(self, evaluation: ClassificationEvaluation, count: int) -> list[Shown]:
        mistakes = evaluation.worst(count)
        found = (shown(m.sample, m.true, f"taken for {m.predicted}, {m.score:.0%}") for m in mistakes)
        return [one for one in found if one]


def _confused(matrix: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    cells = [divmod(int(flat), len(names)) for flat in order]
    return [{"true": names[r], "predicted": names[c], "count": int(wrong[r, c])} for r, c in cells if wrong[r, c]]


SECTION = ClassificationSection()
