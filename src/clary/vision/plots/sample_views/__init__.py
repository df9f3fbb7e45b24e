"""How pictures are shown with what is known of them, one file a task, found by scanning this folder; those of a task
without one have a caption."""

from __future__ import annotations

from clary.registry import Registry
from clary.vision.base.types import TaskName
from clary.vision.plots.sample_views._base import Captioned, SampleView

__all__ = ["SAMPLE_VIEWS", "Captioned", "SampleView", "view_of"]

SAMPLE_VIEWS: Registry[SampleView] = Registry("sample_views", __name__, "VIEW")


def view_of(task: TaskName) -> SampleView:
    """How samples of a task are shown."""
    return SAMPLE_VIEWS.find(task) or SampleView()
