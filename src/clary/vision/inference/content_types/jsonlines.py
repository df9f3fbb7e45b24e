"""application/jsonlines: one object on one line."""

from __future__ import annotations

import json

from clary.vision.base.types import Prediction

__all__ = ["RESPONSE", "JsonLines"]


class JsonLines:
    """``{"prediction": [0.91, 0.06, 0.03]}`` without a newline: batch transform adds it (``AssembleWith: Line``)."""

    name = "jsonlines"
    media_type = "application/jsonlines"
    rank = 1

    def encode(self, prediction: Prediction, *, batch: bool) -> bytes:
        return json.dumps({"prediction": prediction.scores.tolist()}).encode()


RESPONSE = JsonLines()
