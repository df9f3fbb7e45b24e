"""What models are trained for, one file a task, found by scanning this folder. Where a further task would go:

    registry                          entry points          what it adds                        without it
    vision.tasks                      clary.tasks           the task itself
    vision.formats                    clary.formats         a layout that holds its data
    vision.algorithms.catalog         clary.algorithms      what trains it
    vision.models                     clary.networks        its network from a manifest         no torch engine
    vision.inference.tasks            clary.model_tasks     outputs to predictions to answers   outputs as JSON
    vision.artifact.agreements        clary.agreements      by what engines are compared        the largest difference
    vision.plots.sample_views         clary.sample_views    pictures with what is known         a caption
    local.evaluations                 clary.evaluations     what is measured                    no evaluation
    local.predictions                 clary.predictions     what `clary predict` shows          what a service answers
    local.sections                    clary.sections        its part of a report                metric, table, worst

A distribution of its own adds members by entry points; one of Clary's own is a file in each folder.
``tests/fourth_task`` is such a distribution.
"""

from __future__ import annotations

from collections.abc import Container

from clary.registry import Registry
from clary.vision.tasks._base import Inspection, Output, Task

__all__ = ["TASKS", "Inspection", "Output", "Task", "main_metric"]

TASKS: Registry[Task] = Registry("tasks", __name__, "TASK")


def main_metric(measured: Container[str]) -> str | None:
    """Of the names in ``measured`` the one a task is judged by; None where there is none."""
    return next((task.metric for task in TASKS if task.metric in measured), None)
