"""Detection: where things are, a box around each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clary.vision.base.boxes import label_width
from clary.vision.base.types import Box, Dataset, Problem, Sample, SplitName
from clary.vision.tasks._base import Inspection, Output, Task, where_of
from clary.wording import plural

if TYPE_CHECKING:
    from clary.vision.base.decoding import ImageInfo

__all__ = ["HINT_BOX", "TASK", "DetectionTask", "outside"]

# SageMaker's default of ``label_width``, numbers of a detection label that a job takes: 69 boxes.
LABEL_WIDTH = 350
HINT_BOX = "mend the box; pixels are those of the upright picture"
HINT_TWICE = "remove one of them; a network cannot find both, and is judged by both"
# Pixels a box may stick out of its picture: tools count from 1, or round.
SLACK = 1.0


class DetectionTask(Task):
    """The network gives boxes (N, A, 4), xmin, ymin, xmax, ymax in 0..1 of the picture, and scores (N, A, classes)
    without background."""

    name = "detection"
    targets = "boxes"
    metric = "mAP"
    title = "mAP"
    outputs = (Output("boxes", activation="none"), Output("scores"))
    localises = True
    unit = "boxes of class"

    def counts(self, dataset: Dataset, split: SplitName, pixels: Sequence[int] = ()) -> list[Any]:
        found = Counter(box.class_id for sample in dataset.splits[split] for box in sample.boxes)
        return [found[c] for c in range(len(dataset.class_names))]

    def caption(self, sample: Sample, class_names: Sequence[str]) -> str:
        """``cat, 2 dog``."""
        counts = Counter(class_names[box.class_id] for box in sample.boxes)
        return ", ".join(name if count == 1 else f"{count} {name}" for name, count in counts.items()) or "no box"

    def layout(self, dataset: Dataset) -> str:
        return "sagemaker-json"

    def inspect(self, sample: Sample, info: ImageInfo, dataset: Dataset) -> Inspection:
        where = where_of(sample, dataset.root)
        found = (outside(box, info, dataset.class_names) for box in sample.boxes)
        twice = (
            Problem(where, f"has the same box of {_name(c, dataset.class_names)} {count} times", HINT_TWICE, "note")
            for c, count in repeated(sample.boxes)
        )
        return Inspection([*(Problem(where, what, HINT_BOX) for what in found if what), *twice])

    def remarks(self, dataset: Dataset) -> Iterator[Problem]:
        for split, samples in dataset.splits.items():
            if empty := sum(not sample.boxes for sample in samples):
                yield Problem(
                    split, f"has {plural(empty, 'picture')} without a box", "they teach what is background", "note"
                )
        fullest = max(
            (sample for samples in dataset.splits.values() for sample in samples),
            key=lambda sample: label_width(sample.boxes),
            default=None,
        )
        # A training job would refuse it.
        if fullest and (needed := label_width(fullest.boxes)) > LABEL_WIDTH:
            what = f"has {len(fullest.boxes)} boxes, more than any other picture"
            hint = f"a training job needs label_width {needed} or more, the default is {LABEL_WIDTH}"
            yield Problem(where_of(fullest, dataset.root), what, hint, "note")

    def reason_untrainable(
        self, splits: Mapping[SplitName, Sequence[Sample]], class_names: Sequence[str], multi_label: bool
    ) -> tuple[str, str] | None:
        return None if any(sample.boxes for sample in splits["train"]) else ("has no box in any picture", "")


def repeated(boxes: Sequence[Box]) -> Iterator[tuple[int, int]]:
    """Class id and number of the boxes that are there more than once, corner by corner, to the pixel."""
    counts = Counter(
        (box.class_id, *(round(side) for side in (box.xmin, box.ymin, box.xmax, box.ymax))) for box in boxes
    )
    return ((place[0], count) for place, count in counts.items() if count > 1)


def outside(box: Box, info: ImageInfo, class_names: Sequence[str] = ()) -> str:
    """What is wrong with a box of a picture, empty if nothing."""
    name = f"a box of {class_names[box.class_id]}" if box.class_id < len(class_names) else "a box"
    corners = f"xmin {box.xmin:g} ymin {box.ymin:g} xmax {box.xmax:g} ymax {box.ymax:g}"
    if box.xmin >= box.xmax or box.ymin >= box.ymax:
        return f"has {name} that is inverted or has no area, {corners}"
    if _fits(box, info.upright):
        return ""
    # A usual cause: tools that show pictures without their EXIF orientation.
    turned = (
        "; it fits the picture as stored, not as shown"
        if info.rotated and _fits(box, (info.width, info.height))
        else ""
    )
    width, height = info.upright
    return f"has {name} outside its {width} x {height} pixels, {corners}{turned}"


def _name(class_id: int, class_names: Sequence[str]) -> str:
    return class_names[class_id] if class_id < len(class_names) else str(class_id)


def _fits(box: Box, size: tuple[int, int]) -> bool:
    return min(box.xmin, box.ymin) >= -SLACK and box.xmax <= size[0] + SLACK and box.ymax <= size[1] + SLACK


TASK = DetectionTask()
