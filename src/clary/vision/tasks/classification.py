"""Classification: what a picture shows, one class or any number of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clary.vision.base.types import Dataset, Sample, SplitName
from clary.vision.tasks._base import Task

__all__ = ["TASK", "ClassificationTask"]

PLAIN_NAMES = {"images", "image", "imgs", "img", "jpegimages", "pictures", "photos"}


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
        name = class_names[classes.pop()]
        # What people call a folder of pictures whose labels, or masks, stand elsewhere.
        if name.casefold() in PLAIN_NAMES:
            hint = "put labels, boxes or masks beside it, or a folder for each class in it (`clary data layouts`)"
            return f"has pictures in `{name}` and nothing that says what they show", hint
        return f"has one class only, `{name}`", "add pictures of a second class"


TASK = ClassificationTask()
