"""By what engines are compared, one file a task, found by scanning this folder; a task without one is held to its
largest difference."""

from __future__ import annotations

from clary.registry import Registry
from clary.vision.artifact.agreements._base import TOLERANCE, Agreement, Outputs
from clary.vision.base.types import TaskName

__all__ = ["AGREEMENTS", "TOLERANCE", "Agreement", "Outputs", "agreement_of"]

AGREEMENTS: Registry[Agreement] = Registry("agreements", __name__, "AGREEMENT")


def agreement_of(task: TaskName) -> Agreement:
    """What engines of a task's models are held to."""
    return AGREEMENTS.find(task) or Agreement()
