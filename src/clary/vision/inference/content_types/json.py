"""application/json: a bare array of scores in class id order; in batch transform an object holding it."""

from __future__ import annotations

import json

from clary.vision.base.types import Prediction

__all__ = ["RESPONSE", "Json"]


class Json:
    """``[0.91, 0.06, 0.03]``. Batch transform jobs of the built-in algorithm answer ``{"prediction": [...]}``."""

    name = "json"
    media_type = "application/json"
    rank = 0

    def encode(self, prediction: Prediction, *, batch: bool) -> bytes:
        scores = prediction.scores.tolist()
        return json.dumps({"prediction": scores} if batch else scores).encode()


RESPONSE = Json()
