"""What is measured of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clary.local.evaluations import Evaluation, Evaluator
from clary.vision.base.types import Dataset, Sample
from clary.vision.inference.predictor import Model
from clary.vision.inference.tasks import Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class BrightnessEvaluation(Evaluation):
    """``errors`` are those of ``samples``, float64 (N,)."""

    task = "brightness"
    columns = {"name": "reading", "support": "pictures", "error": "mean error"}  # noqa: RUF012 - read only

    errors: np.ndarray

    def class_rows(self) -> list[dict[str, Any]]:
        return [{"name": "brightness", "support": self.count, "error": self.metrics[self.main]}]

    def mistake_rows(self, k: int = 10) -> list[dict[str, Any]]:
        order = np.argsort(-self.errors)[:k]
        return [{"image": str(self.samples[i].image), "off by": round(float(self.errors[i]), 6)} for i in order]

    def summary(self) -> str:
        return f"off by {self.metrics[self.main]:.4f} on {self.count} {self.split} pictures"


class BrightnessEvaluator(Evaluator[float]):
    name = "brightness"

    def __init__(self, network: Model, data: Dataset, ids: Mapping[int, int], samples: Sequence[Sample]) -> None:
        super().__init__(network, data, ids, samples)
        self._errors: list[float] = []

    def truth(self, sample: Sample, image: Prepared) -> float:
        value: float = sample.value  # type: ignore[attr-defined]
        return value

    def add(self, sample: Sample, truth: float, prediction: float) -> None:
        self._errors.append(abs(truth - prediction))

    def evaluation(self, context: Mapping[str, Any]) -> BrightnessEvaluation:
        errors = np.array(self._errors)
        metrics = {"mean_absolute_error": float(errors.mean()), "largest_error": float(errors.max())}
        return BrightnessEvaluation(**context, metrics=metrics, errors=errors)


EVALUATOR = BrightnessEvaluator
