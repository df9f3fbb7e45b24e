"""What models do, one file a task, found by scanning this folder: outputs to predictions, predictions to answers.

A task without one gives its network's outputs as they are, in JSON.
"""

from __future__ import annotations

from typing import Any

from clary.registry import Registry
from clary.vision.artifact.manifest import Manifest
from clary.vision.inference.tasks._base import ModelTask, Prepared
from clary.vision.inference.tasks._plain import PlainAnswer, PlainTask

__all__ = ["MODEL_TASKS", "ModelTask", "PlainAnswer", "Prepared", "task_of"]

MODEL_TASKS: Registry[type[ModelTask[Any]]] = Registry("model_tasks", __name__, "TASK")


def task_of(manifest: Manifest) -> ModelTask[Any]:
    """What a model does."""
    found = MODEL_TASKS.find(manifest.task)
    return found(manifest) if found else PlainTask(manifest)
