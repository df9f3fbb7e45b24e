"""Classification: the best classes."""

from __future__ import annotations

from typing import Any

from clary.local.predictions._base import PredictionView
from clary.vision.base.types import Prediction

__all__ = ["VIEW", "ClassPredictions"]


class ClassPredictions(PredictionView):
    name = "classification"
    columns = ("class", "score")
    undrawn = "a classifier has nothing to draw"

    def lines(self, prediction: Prediction) -> list[tuple[Any, ...]]:
        return [(label, f"{score:.4f}") for label, score in prediction.top(self.top)]

    def as_json(self, prediction: Prediction) -> dict[str, Any]:
        return {"predictions": [{"label": label, "score": score} for label, score in prediction.top(self.top)]}


VIEW = ClassPredictions
