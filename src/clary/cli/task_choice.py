"""The words for an option that names a task: those of the tasks that are installed."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from clary.registry import declared

__all__ = ["TaskChoice", "task_choice"]


def task_choice(*more: str) -> type[StrEnum]:
    """The names of tasks, and ``more`` words. No task is loaded for it, since that would bring numpy to every help."""
    names = [*declared("tasks", "clary.vision.tasks"), *more]
    return StrEnum("TaskChoice", [(name, name) for name in names])  # type: ignore[return-value]


if TYPE_CHECKING:
    TaskChoice = str
else:
    TaskChoice = task_choice()
