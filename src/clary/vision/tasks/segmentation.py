"""Segmentation: the class of every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clary.errors import ImageError
from clary.vision.base.types import IGNORED, Blob, Dataset, Problem, Sample, SplitName
from clary.vision.tasks._base import Inspection, Task, place_of

if TYPE_CHECKING:
    from clary.vision.base.imaging import ImageInfo

__all__ = ["HINT_SIZE", "TASK", "SegmentationTask", "of_another_size"]

HINT_SIZE = "make both of one size"


class SegmentationTask(Task):
    """The network gives scores (N, classes, H, W)."""

    name = "segmentation"
    targets = "masks"
    metric = "mIOU"
    title = "mIOU"
    localises = True
    unit = "pixels of class"

    def counts(self, dataset: Dataset, split: SplitName, pixels: Sequence[int] = ()) -> list[Any]:
        """Shares of the labelled pixels: ``12.5%``."""
        whole = max(sum(pixels), 1)
        return [f"{100 * count / whole:.1f}%" for count in pixels]

    def layout(self, dataset: Dataset) -> str:
        return "sagemaker-png"

    def inspect(self, sample: Sample, info: ImageInfo, dataset: Dataset) -> Inspection:
        """Whether the mask is one, as large as its picture, and of known classes."""
        from clary.vision.base.imaging import decode_mask  # brings OpenCV, and a list of runs needs none

        if sample.mask is None:
            return Inspection()
        drawn = type(sample.mask) is not Blob  # of regions that stand in a file with those of other pictures
        where = sample.source if drawn else place_of(sample.mask, dataset.root)
        try:
            ids = decode_mask(sample.mask.read(), sample.mask_values)
        except OSError as error:
            hint = "copy it again or mend its permissions"
            return Inspection([Problem(where, f"cannot be read ({error.strerror})", hint)])
        except ImageError as error:
            return Inspection([Problem(where, error.what, error.hint)])
        if what := of_another_size(ids, info):
            return Inspection([Problem(where, what, HINT_SIZE)])
        # One pass for all questions: which values are strange, which are ignored, how many of each class.
        counts = np.bincount(ids.ravel(), minlength=256)
        known = len(dataset.class_names)
        if strange := [value for value in range(known, IGNORED) if counts[value]]:
            more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
            values = ", ".join(map(str, strange[:3])) + more
            what = f"has the class id {values}, with {known} classes they run from 0 to {known - 1}"
            return Inspection([Problem(where, what, "255 is for pixels to ignore; mend the mask or name the classes")])
        # A note, not an error: the loss of such a picture is 0, and the rest of the set is not at fault.
        if counts[IGNORED] == ids.size:
            return Inspection(
                [Problem(where, "has no pixel of any class", "it teaches nothing", "note")], counts[:known]
            )
        return Inspection([], counts[:known])

    def label_fault(self, labels: Sequence[str]) -> str:
        return f"are {len(labels)}, a pixel has one of at most {IGNORED}" if len(labels) > IGNORED else ""


def of_another_size(ids: np.ndarray, info: ImageInfo) -> str:
    """What is wrong with the size of a picture's mask (height, width), empty if nothing."""
    height, width = ids.shape
    if (width, height) == info.upright:
        return ""
    stored = ", as that is stored and not as it is shown" if (width, height) == (info.width, info.height) else ""
    return f"is {width} x {height} pixels, its picture {info.upright[0]} x {info.upright[1]}{stored}"


TASK = SegmentationTask()
