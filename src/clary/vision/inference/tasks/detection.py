"""Detection: boxes, suppressed where they overlap. Source: SageMaker developer guide, "Object Detection"."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from clary.errors import ArtifactError
from clary.vision.artifact.manifest import Manifest
from clary.vision.base.boxes import MOST, detect
from clary.vision.base.types import Detections
from clary.vision.inference.content_types import ResponseType
from clary.vision.inference.tasks._base import ModelTask, Prepared

__all__ = ["TASK", "DetectionServing"]

NMS_THRESHOLD = 0.45  # SageMaker's, where a manifest names none
DECIMALS = 6  # of the numbers in an answer: a thousandth of a pixel, and half the bytes of all digits


class Rows(ResponseType[Detections]):
    """``{"prediction": [[class, score, xmin, ymin, xmax, ymax], ...]}``, the best score first, boxes in 0..1."""

    media_type = "application/json"

    def encode(self, prediction: Detections, *, batch: bool) -> bytes:
        # As float64: a rounded float32 would be spelled in all its seventeen digits.
        return json.dumps({"prediction": np.round(prediction.rows.astype(np.float64), DECIMALS).tolist()}).encode()


class Annotation(ResponseType[Detections]):
    """The form of SageMaker's annotation files, whole pixels: what a training job takes, with scores."""

    media_type = "application/json"
    parameters = {"annotation": "1"}  # noqa: RUF012 - read only

    def encode(self, prediction: Detections, *, batch: bool) -> bytes:
        size = {"width": prediction.width, "height": prediction.height, "depth": 3}
        corners = np.rint(prediction.pixels).astype(int).tolist()
        found = zip(prediction.class_ids.tolist(), prediction.scores.tolist(), corners, strict=True)
        return json.dumps({"image_size": [size], "annotations": [_annotation(*one) for one in found]}).encode()


class RowLine(Rows):
    """The rows on one line, without a newline: batch transform adds it."""

    media_type = "application/jsonlines"


class DetectionServing(ModelTask[Detections]):
    """At most ``nms_topk`` boxes a picture, of scores above 0.01, without those that a better one of their class
    overlaps by ``nms_threshold`` (hyperparameters of the manifest; 400 and 0.45 where it names none)."""

    name = "detection"
    class_axis = 2
    responses = (Rows(), Annotation(), RowLine())

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self._overlap = float(_setting(manifest, "nms_threshold", NMS_THRESHOLD, 1))
        self._most = int(_setting(manifest, "nms_topk", MOST, 1_000_000))

    def predictions(
        self, outputs: tuple[np.ndarray, ...], images: Sequence[Prepared], *, scores: bool = True
    ) -> list[Detections]:
        found = []
        for image, boxes, by_class in zip(images, *outputs, strict=True):
            rows = detect(boxes, by_class, overlap=self._overlap, most=self._most)
            found.append(Detections(rows[:, 2:], rows[:, 1], rows[:, 0].astype(np.int64), self._labels, *image.size))
        return found


def _annotation(class_id: int, score: float, corners: Sequence[int]) -> dict[str, Any]:
    left, top, right, bottom = corners
    place = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    return {"class_id": class_id, "score": round(score, DECIMALS), **place}


def _setting(manifest: Manifest, name: str, default: float, high: float) -> float:
    value = manifest.hyperparameters.get(name)
    if value is None:
        return default
    # True and False are whole numbers in Python.
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= high:
        what = f"`hyperparameters.{name}` is {ascii(value)[:60]}, not a number above 0 and at most {high}"
        raise ArtifactError(what, hint="export the model again")
    return value


TASK = DetectionServing
