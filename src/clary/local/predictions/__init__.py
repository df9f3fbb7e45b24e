"""How ``clary predict`` shows what models predict, one file a task, found by scanning this folder.

What a model of a task without one predicts is shown as a service would answer it.
"""

from __future__ import annotations

from typing import Any

from clary.local.predictions._base import PredictionView
from clary.registry import Registry
from clary.vision.inference.tasks import ModelTask

__all__ = ["VIEWS", "PredictionView", "view_of"]

VIEWS: Registry[type[PredictionView]] = Registry("predictions", __name__, "VIEW")


def view_of(task: ModelTask[Any], *, top: int, least: float) -> PredictionView:
    """How predictions of a task's models are shown."""
    return (VIEWS.find(task.name) or PredictionView)(task, top=top, least=least)
