"""How ``clary predict`` and the display of a notebook show what a task predicts: lines, JSON, drawings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from clary.vision.base.files import atomic
from clary.vision.base.types import TaskName
from clary.vision.inference.tasks import ModelTask, PlainAnswer

__all__ = ["PredictionView", "save"]


class PredictionView:
    """What a service would answer, on one line.

    ``top`` and ``least`` are the options of ``clary predict``; ``draws`` is whether there is anything to draw, and
    ``undrawn`` says that there is not.
    """

    name: ClassVar[TaskName]
    columns: ClassVar[tuple[str, ...]] = ("prediction",)
    draws: ClassVar[bool] = False
    undrawn: ClassVar[str] = "a model of this task has nothing to draw"

    def __init__(self, task: ModelTask[Any], *, top: int, least: float) -> None:
        self.task = task
        self.top = top
        self.least = least

    def lines(self, prediction: Any) -> list[tuple[Any, ...]]:
        """Rows of the table, in the order of ``columns``."""
        return [tuple(json.dumps(value) for value in self.as_json(prediction).values())]

    def caption(self, prediction: Any) -> str:
        """The first of ``lines`` in a few words."""
        return " ".join(map(str, self.lines(prediction)[0][:2])).strip()

    def drawn(self, prediction: Any, pixels: np.ndarray) -> np.ndarray:
        """The picture, uint8 RGB, with what is predicted drawn on; as it is where there is nothing to draw."""
        return pixels

    def as_json(self, prediction: Any) -> dict[str, Any]:
        """What stands beside the picture's path."""
        answers = [kind for kind in self.task.responses if kind.media_type.startswith("application/json")]
        value = json.loads((answers or [PlainAnswer()])[0].encode(prediction, batch=False))
        # The service's answer has this key already, of the built-in algorithms.
        return value if isinstance(value, dict) and list(value) == ["prediction"] else {"prediction": value}

    def write(self, prediction: Any, image: Path, place: Path) -> None:
        """Draw ``prediction`` into files called ``place`` and a suffix. Raises UsageError when that cannot be."""


def save(image: Image.Image, path: Path, format: str, **options: Any) -> None:
    """Write a picture, whole or not at all."""
    with atomic(path) as file:
        image.save(file, format, **options)
