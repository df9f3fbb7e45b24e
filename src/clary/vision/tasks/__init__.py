"""What models are trained for, one file a task, found by scanning this folder; others come with distributions of their
own, through entry points of the group ``clary.tasks``."""

from __future__ import annotations

from collections.abc import Container

from clary.registry import Registry
from clary.vision.tasks._base import Look, Output, Task

__all__ = ["TASKS", "Look", "Output", "Task", "main_metric"]

TASKS: Registry[Task] = Registry("tasks", __name__, "TASK")


def main_metric(measured: Container[str]) -> str | None:
    """Of the names in ``measured`` the one a task is judged by; None where there is none."""
    return next((task.metric for task in TASKS if task.metric in measured), None)
