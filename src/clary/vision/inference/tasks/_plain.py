"""Outputs of a network as they are: the answer of a task that brings none of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from clary.vision.artifact.manifest import Manifest
from clary.vision.inference.content_types import ResponseType
from clary.vision.inference.tasks._base import ModelTask, Prepared

__all__ = ["PlainAnswer", "PlainTask"]


class PlainAnswer(ResponseType[Any]):
    """``{"prediction": ...}``: arrays as lists of numbers, anything else as JSON has it or as text."""

    media_type = "application/json"

    def encode(self, prediction: Any, *, batch: bool) -> bytes:
        # The name that the built-in algorithms' answers have.
        plain = {"prediction": prediction}
        return json.dumps(plain, default=lambda one: one.tolist() if hasattr(one, "tolist") else str(one)).encode()


class PlainLine(PlainAnswer):
    """The same without a newline: batch transform adds it."""

    media_type = "application/jsonlines"


class PlainTask(ModelTask[Any]):
    """Of each picture its row of the output, float32, or by name of the rows of several outputs."""

    responses = (PlainAnswer(), PlainLine())

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self.name = manifest.task
        self._names = [output.name for output in manifest.outputs]

    def predictions(
        self, outputs: tuple[np.ndarray, ...], images: Sequence[Prepared], *, scores: bool = True
    ) -> list[Any]:
        if len(outputs) == 1:
            return list(outputs[0])
        return [dict(zip(self._names, rows, strict=True)) for rows in zip(*outputs, strict=True)]
