"""Segmentation: the class of every pixel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clary.errors import ImageError
from clary.vision.base.types import IGNORED, Blob, Dataset, Problem, Sample, SplitName
from clary.vision.tasks._base import Inspection, Task, place_of

if TYPE_CHECKING:
    from clary.vision.base.decoding import ImageInfo

__all__ = ["HINT_CLASS", "HINT_SIZE", "HINT_VOID", "TASK", "SegmentationTask", "of_another_size"]

HINT_SIZE = "make both of one size"
HINT_CLASS = "set num_classes, give a label map, or mark pixels without a class by 255"
# A mask of black and white, which image editors write for two classes: 255 is void where SageMaker's contract holds.
HINT_VOID = 'write 1 in place of 255, or give a label map: {"map": {"0": 0, "1": 255}}'
HINT_ONE = "add masks of a second class"
MUCH = 0.5  # share of ignored pixels that is hardly meant; chosen


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
        from clary.vision.base.decoding import decode_mask  # brings OpenCV, and a list of runs needs none

        if sample.mask is None:
            return Inspection()
        drawn = type(sample.mask) is not Blob  # of regions that stand in a file with those of other pictures
        where = sample.source if drawn else place_of(sample.mask, dataset.root)
        try:
            ids = decode_mask(sample.mask.read(), sample.mask_values)
        except OSError as error:
            hint = "copy it again or mend its permissions"
            what = f"cannot be read ({error.strerror})"
            return Inspection([Problem(where, what, hint, "error", 1, "with a mask that cannot be read")])
        except ImageError as error:
            return Inspection([Problem(where, error.what, error.hint, "error", 1, "with a mask that cannot be used")])
        if what := of_another_size(ids, info):
            return Inspection([Problem(where, what, HINT_SIZE, "error", 1, "with a mask of another size")])
        # One pass for all questions: which values are strange, which are ignored, how many of each class.
        counts = np.bincount(ids.ravel(), minlength=IGNORED + 1)
        known = len(dataset.class_names)
        if strange := [value for value in range(known, IGNORED) if counts[value]]:
            more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
            values = ", ".join(map(str, strange[:3])) + more
            what = f"has the class id {values}, with {known} classes they run from 0 to {known - 1}"
            return Inspection([Problem(where, what, HINT_CLASS, "error", 1, "with a class id beyond the classes")])
        classes, ignored = counts[: min(known, IGNORED)], int(counts[IGNORED])
        # A note, not an error: the loss of such a picture is 0, and the rest of the set is not at fault.
        if ignored == ids.size:
            nothing = Problem(where, "has no pixel of any class", "it teaches nothing", "note")
            return Inspection([nothing], classes, ignored)
        return Inspection([], classes, ignored)

    def remarks_on_masks(
        self, dataset: Dataset, pixels: Mapping[SplitName, Sequence[int]], ignored: Mapping[SplitName, int]
    ) -> Iterator[Problem]:
        for split, count in ignored.items():
            share = count / max(1, count + sum(pixels[split]))
            if count:
                what = f"{100 * share:.1f} % of the pixels of its masks are {IGNORED}, which is ignored"
                hint = "they count neither in training nor in scores; a class needs another value"
                yield Problem(split, what, hint if share >= MUCH else "", "note")
        train = pixels.get("train", ())
        used = [dataset.class_names[c] for c, count in enumerate(train) if count]
        if len(used) == 1 and len(train) > 1:
            voids = f", all others are {IGNORED}, which is ignored" if ignored["train"] else ""
            what = f"shows one class in all its masks, `{used[0]}`{voids}"
            # Nothing can be learnt, but the original runs through it.
            yield Problem("train", what, HINT_VOID if voids else HINT_ONE, "error", tolerated=not voids)
        elif empty := [f"`{dataset.class_names[c]}`" for c, count in enumerate(train) if not count]:
            more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
            what = f"has no pixel of class {', '.join(empty[:5])}{more} in any mask"
            yield Problem("train", what, "a class without pixels is never learnt, and counts 0 in mIOU", "note")

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
