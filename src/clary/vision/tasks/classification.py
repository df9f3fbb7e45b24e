"""Classification: what a picture shows, one class or any number of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clary.vision.base.types import Dataset, Sample, SplitName
from clary.vision.tasks._base import Task

__all__ = ["TASK", "ClassificationTask"]


class ClassificationTask(Task):
    """The network gives scores (N, classes)."""

    name = "classification"
    targets = "classes"
    metric = "accuracy"
    title = "Accuracy"
    manifest_version = 1
    uses_every_class = True
    single_or_multi_label = True

    def layout(self, dataset: Dataset) -> str:
        return "lst" if dataset.multi_label else "folder"

    def reason_untrainable(
        self, splits: Mapping[SplitName, Sequence[Sample]], class_names: Sequence[str], multi_label: bool
    ) -> tuple[str, str] | None:
        classes = {c for samples in splits.values() for sample in samples for c in sample.classes}
        if multi_label or len(classes) != 1:
            return None
        return f"has one class only, `{class_names[classes.pop()]}`", "add pictures of a second class"


TASK = ClassificationTask()
