"""What a report says of each task, one file a task, found by scanning this folder; a task without one gets the plain
section."""

from __future__ import annotations

from typing import Any

from clary.local.sections._base import PlainSection, Section
from clary.registry import Registry
from clary.vision.base.types import TaskName

__all__ = ["SECTIONS", "Section", "section_of"]

SECTIONS: Registry[Section[Any]] = Registry("sections", __name__, "SECTION")


def section_of(task: TaskName) -> Section[Any]:
    """What a report says of a task."""
    return SECTIONS.find(task) or PlainSection(task)
