"""Classification: a row of scores. Source of the answers: SageMaker developer guide, "Image Classification"."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from clary.vision.base import preprocessing
from clary.vision.base.decoding import ImageLike
from clary.vision.base.types import Prediction
from clary.vision.inference.content_types import ResponseType
from clary.vision.inference.tasks._base import ModelTask, Prepared

__all__ = ["TASK", "ClassificationServing"]


class ProbabilityList(ResponseType[Prediction]):
    """``[0.91, 0.06, 0.03]`` in class id order. Batch transform jobs of the built-in algorithm answer
    ``{"prediction": [...]}``."""

    media_type = "application/json"

    def encode(self, prediction: Prediction, *, batch: bool) -> bytes:
        # Two forms by who asks: endpoints of the built-in algorithm answer a bare list, its transform jobs an object.
        scores = prediction.scores.tolist()
        return json.dumps({"prediction": scores} if batch else scores).encode()


class ScoreLine(ResponseType[Prediction]):
    """``{"prediction": [0.91, 0.06, 0.03]}`` without a newline: batch transform adds it (``AssembleWith: Line``)."""

    media_type = "application/jsonlines"

    def encode(self, prediction: Prediction, *, batch: bool) -> bytes:
        return json.dumps({"prediction": prediction.scores.tolist()}).encode()


class ClassificationServing(ModelTask[Prediction]):
    """One row of scores a picture."""

    name = "classification"
    responses = (ProbabilityList(), ScoreLine())

    def prepare(self, image: ImageLike) -> Prepared:
        return Prepared(preprocessing.prepare(image, self._how))

    def predictions(
        self, outputs: tuple[np.ndarray, ...], images: Sequence[Prepared], *, scores: bool = True
    ) -> list[Prediction]:
        return [Prediction(row, self._labels) for row in outputs[0]]


TASK = ClassificationServing
