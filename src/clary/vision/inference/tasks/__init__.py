"""What models do, one file a task, found by scanning this folder: outputs to predictions, predictions to answers."""

from __future__ import annotations

from typing import Any

from clary.registry import Registry
from clary.vision.artifact.manifest import Manifest
from clary.vision.inference.tasks._base import ModelTask, Prepared

__all__ = ["TASKS", "ModelTask", "Prepared", "task_of"]

TASKS: Registry[type[ModelTask[Any]]] = Registry("tasks", __name__, "TASK")


def task_of(manifest: Manifest) -> ModelTask[Any]:
    """The task of a model."""
    return TASKS.get(manifest.task)(manifest)
