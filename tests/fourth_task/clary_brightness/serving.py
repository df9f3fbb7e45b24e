"""What a service answers."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from clary.vision.inference.content_types import ResponseType
from clary.vision.inference.tasks import ModelTask, Prepared


class Answer(ResponseType[float]):
    """``{"brightness": 0.31}``."""

    media_type = "application/json"

    def encode(self, prediction: float, *, batch: bool) -> bytes:
        return json.dumps({"brightness": round(prediction, 4)}).encode()


class BrightnessModel(ModelTask[float]):
    name = "brightness"
    responses = (Answer(),)

    def predictions(
        self, outputs: tuple[np.ndarray, ...], images: Sequence[Prepared], *, scores: bool = True
    ) -> list[float]:
        return [float(row[0]) for row in outputs[0]]


TASK = BrightnessModel
